// The messages between the page and Python. ../../protocol.py describes every type; a test compares the two files, names,
// fields and types. Offsets count UTF-16 units of the text with LF line ends, as CodeMirror does.
// Types named ..Request are the fields of a request beside {type, id}, ..Result those of a reply beside {type, re, ok}.

export interface Update {
  clientID: string;
  changes: unknown[];
}

export interface Change {
  from: number;
  to: number;
  insert: string;
}

export interface Entry {
  id: string;
  title: string;
  group: "steps" | "waits" | "flow" | "children";
  says: string;
  keywords: string[];
}

export interface Sql {
  from: number;
  to: number;
  value: string;
}

export interface Field {
  name: string;
  title: string;
  type: "text" | "integer" | "seconds" | "cron" | "choice" | "boolean" | "json" | "url";
  value: string | number | boolean | null;
  choices?: string[];
  help: string;
  required: boolean;
}

export interface Read {
  name: string;
  from: string[];
}

export interface Child {
  role: "step" | "condition" | "then" | "else" | "body" | "branch" | "child";
  title: string;
  block: Block;
}

export interface Block {
  id: string;
  kind: string;
  shape: "sequence" | "step" | "wait" | "decision" | "loop" | "join" | "race" | "child" | "break" | "http" | "opaque";
  title: string;
  name: string | null;
  detail: string;
  full: string;
  badge: string | null;
  span: [number, number];
  sql: Sql | null;
  fields: Field[];
  children: Child[];
  reads: Read[];
  editable: boolean;
  why_not: string | null;
}

export interface Variable {
  name: string;
  value: string | null;
}

export interface Program {
  index: number;
  name: string;
  label: string | null;
  span: [number, number];
  root: Block | null;
  variables: Variable[];
}

export interface Finding {
  index: number;
  code: string;
  severity: "error" | "warning" | "info";
  title: string;
  label: string;
  help: string;
  from: number;
  to: number;
  block: string | null;
  fix: string | null;
}

export interface Drawing {
  ok: boolean;
  programs: Program[];
  findings: Finding[];
}

export interface VersionRequest {
  version: number;
}

export interface InstanceRequest {
  instance: string;
}

export interface HelloRequest {
}

export interface HelloResult {
  text: string;
  version: number;
  document: string;
  name: string;
  form: "program" | "sql" | "markdown";
  home: "studio" | "widget";
  palette: Entry[];
  runnable: boolean;
  dark: boolean | null;
  saved: boolean;
}

export interface PushRequest {
  version: number;
  updates: Update[];
}

export interface PushResult {
  version: number;
}

export interface PullResult {
  version: number;
  updates: Update[];
}

export interface EditRequest {
  version: number;
  target: string;
  gesture: string;
  entry?: string;
  role?: string;
  to?: string;
  where?: "before" | "after";
  with?: string;
  text?: string;
  field?: string;
  value?: string | number | boolean | null;
  name?: string | null;
  label?: string | null;
}

export interface EditResult {
  version: number;
  changes: Change[];
  select: number | null;
  block?: string | null;
}

export interface CompleteRequest {
  version: number;
  offset: number;
  block?: string;
  sql?: string;
}

export interface Suggestion {
  label: string;
  kind: string;
  detail: string;
  documentation: string;
}

export interface CompleteResult {
  from: number;
  options: Suggestion[];
}

export interface HoverRequest {
  version: number;
  offset: number;
}

export interface HoverResult {
  from: number;
  to: number;
  markdown: string | null;
}

export interface CronRequest {
  expression: string;
  zone: string | null;
}

export interface CronResult {
  words: string;
  next: string[];
}

export interface FixRequest {
  version: number;
  finding: number;
}

export interface ChangesResult {
  version: number;
  changes: Change[];
}

export interface SaveRequest {
  version: number;
  name?: string;
}

export interface SaveResult {
  saved: boolean;
  name: string;
  name_needed?: boolean;
  conflict?: boolean;
  theirs?: string;
}

export interface ResolveRequest {
  version: number;
  choice: "mine" | "theirs";
}

export interface CompareRequest {
  with: "saved" | "git" | "text";
  text?: string;
  dark?: boolean;
}

export interface CompareResult {
  svg: string | null;
  words: string[];
}

export interface StartRequest {
  target: string;
  label: string | null;
  variables: Record<string, string>;
  check: boolean;
}

export interface StartResult {
  instance: string;
}

export interface SignalRequest {
  instance: string;
  name: string;
  payload: unknown;
}

export interface InstancesRequest {
  status: string | null;
  text: string | null;
  limit: number;
}

export interface InstanceRow {
  id: string;
  label: string | null;
  status: string;
  created_at: string;
  duration_seconds: number;
  waits_for: string | null;
}

export interface InstancesResult {
  instances: InstanceRow[];
}

export interface PastResult {
  drawing: Drawing;
  text: string;
}

export interface NodeRequest {
  instance: string;
  block: string;
}

export interface Rows {
  columns: string[];
  rows: ((string | null)[])[];
  row_count: number;
  cut: boolean;
  text: string | null;
}

export interface Attempt {
  status: string;
  started_at: string | null;
  completed_at: string | null;
  iteration: string | null;
  attempts: number | null;
  error: string | null;
}

export interface NodeResult {
  sql: string | null;
  result: Rows | null;
  error: string | null;
  attempts: Attempt[];
  started_at: string | null;
  completed_at: string | null;
  iteration: string | null;
}

export interface NoResult {
}

export interface UpdatesEvent {
  type: "updates";
  version: number;
  updates: Update[];
}

export interface DrawingEvent {
  type: "drawing";
  version: number;
  drawing: Drawing;
}

export interface Action {
  kind: "signal" | "none";
  name?: string;
}

export interface Wait {
  sentence: string;
  block: string | null;
  action: Action;
}

export interface StepState {
  status: string;
  duration_seconds: number | null;
  attempts: number | null;
  iteration: string | null;
  message?: string;
}

export interface RunEvent {
  type: "run";
  instance: string;
  status: string;
  waits: Wait[];
  states: Record<string, StepState>;
  result?: Rows | null;
  error?: string | null;
}

export interface DiskEvent {
  type: "disk";
  saved: boolean;
  notice: string | null;
}

export interface NoticeEvent {
  type: "notice";
  level: "info" | "warning" | "error";
  message: string;
  advice: string;
}

// The requests: fields of the request, fields of its reply.
export interface Requests {
  hello: [HelloRequest, HelloResult];
  push: [PushRequest, PushResult];
  pull: [VersionRequest, PullResult];
  edit: [EditRequest, EditResult];
  complete: [CompleteRequest, CompleteResult];
  hover: [HoverRequest, HoverResult];
  cron: [CronRequest, CronResult];
  fix: [FixRequest, ChangesResult];
  format: [VersionRequest, ChangesResult];
  save: [SaveRequest, SaveResult];
  resolve: [ResolveRequest, SaveResult];
  compare: [CompareRequest, CompareResult];
  start: [StartRequest, StartResult];
  watch: [InstanceRequest, NoResult];
  unwatch: [InstanceRequest, NoResult];
  signal: [SignalRequest, NoResult];
  cancel: [InstanceRequest, NoResult];
  instances: [InstancesRequest, InstancesResult];
  past: [InstanceRequest, PastResult];
  node: [NodeRequest, NodeResult];
}

export type Event = UpdatesEvent | DrawingEvent | RunEvent | DiskEvent | NoticeEvent;
