\set pause 5
CREATE TABLE IF NOT EXISTS orders (id   int);
DO $body$
BEGIN
    IF (SELECT count(*) FROM orders) = 0 THEN
        PERFORM df.start(
            ('SELECT 1' |=> 'x' ~> 'SELECT ''it''''s'', $x')
            & 'INSERT INTO orders VALUES (1)',
            'from a block'
        );
    END IF;
END $body$;
CREATE FUNCTION again() RETURNS text LANGUAGE sql AS 'SELECT   df.start(''a''   ~>   ''b'')';
select   df.start(
    'a'
    ~> 'b',
    :'label',
    database => current_database()
) \gset
INSERT INTO log   SELECT df.start(
    df.sleep( :pause )
    ~> 'b'
) , 1|2;
INSERT INTO documents VALUES ($$ SELECT df.start('a'~>'b') $$);
CREATE OR REPLACE FUNCTION again() RETURNS text LANGUAGE sql AS $$
    SELECT df.start(
        ('a' ~> 'b')
        & 'c',
        'in a function'
    )
$$;
