DO $do$
BEGIN
  PERFORM df.start('SELECT 1' ~> 'SELECT 2', 'from-do');
END $do$;
SELECT df.start(format('UPDATE orders SET state = %L WHERE id = %s', 'paid', 17), 'mark-paid');
SELECT id, df.start(format('SELECT score(%s)', id), 'score-' || id) FROM customers WHERE vip;
