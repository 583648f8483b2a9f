// What the browser and Python say to each other. The other side is ../protocol.py, where every type is described;
// a test compares names and fields. Offsets are UTF-16 units of the text with LF line ends, as CodeMirror counts.
// Types named ..Result are the fields of a reply beside {type: "reply", re, ok: true}.

export const REQUESTS = [
  "hello",
  "push",
  "pull",
  "edit",
  "complete",
  "hover",
  "cron",
  "fix",
  "format",
  "save",
  "resolve",
  "compare",
  "start",
  "watch",
  "unwatch",
  "signal",
  "cancel",
  "instances",
  "past",
  "node",
] as const;
export const EVENTS = ["reply", "updates", "drawing", "run", "disk", "notice"] as const;

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

export interface HelloRequest {
  type: "hello";
  id: number;
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
  type: "push";
  id: number;
  version: number;
  updates: Update[];
}

export interface PushResult {
  version: number;
}

export interface PullRequest {
  type: "pull";
  id: number;
  version: number;
}

export interface PullResult {
  version: number;
  updates: Update[];
}

export interface EditRequest {
  type: "edit";
  id: number;
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
  type: "complete";
  id: number;
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
  type: "hover";
  id: number;
  version: number;
  offset: number;
}

export interface HoverResult {
  from: number;
  to: number;
  markdown: string | null;
}

export interface CronRequest {
  type: "cron";
  id: number;
  expression: string;
  zone: string | null;
}

export interface CronResult {
  words: string;
  next: string[];
}

export interface FixRequest {
  type: "fix";
  id: number;
  version: number;
  finding: number;
}

export interface FormatRequest {
  type: "format";
  id: number;
  version: number;
}

export interface ChangesResult {
  version: number;
  changes: Change[];
}

export interface SaveRequest {
  type: "save";
  id: number;
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
  type: "resolve";
  id: number;
  version: number;
  choice: "mine" | "theirs";
}

export interface CompareRequest {
  type: "compare";
  id: number;
  with: "saved" | "git" | "text";
  text?: string;
  dark?: boolean;
}

export interface CompareResult {
  svg: string | null;
  words: string[];
}

export interface StartRequest {
  type: "start";
  id: number;
  target: string;
  label: string | null;
  variables: Record<string, string>;
}

export interface StartResult {
  instance: string;
}

export interface WatchRequest {
  type: "watch";
  id: number;
  instance: string;
}

export interface UnwatchRequest {
  type: "unwatch";
  id: number;
  instance: string;
}

export interface SignalRequest {
  type: "signal";
  id: number;
  instance: string;
  name: string;
  payload: unknown;
}

export interface CancelRequest {
  type: "cancel";
  id: number;
  instance: string;
}

export interface InstancesRequest {
  type: "instances";
  id: number;
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

export interface PastRequest {
  type: "past";
  id: number;
  instance: string;
}

export interface PastResult {
  drawing: Drawing;
  text: string;
}

export interface NodeRequest {
  type: "node";
  id: number;
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

// What TypeScript alone needs: which result answers which request.

export interface Answers {
  hello: [HelloRequest, HelloResult];
  push: [PushRequest, PushResult];
  pull: [PullRequest, PullResult];
  edit: [EditRequest, EditResult];
  complete: [CompleteRequest, CompleteResult];
  hover: [HoverRequest, HoverResult];
  cron: [CronRequest, CronResult];
  fix: [FixRequest, ChangesResult];
  format: [FormatRequest, ChangesResult];
  save: [SaveRequest, SaveResult];
  resolve: [ResolveRequest, SaveResult];
  compare: [CompareRequest, CompareResult];
  start: [StartRequest, StartResult];
  watch: [WatchRequest, NoResult];
  unwatch: [UnwatchRequest, NoResult];
  signal: [SignalRequest, NoResult];
  cancel: [CancelRequest, NoResult];
  instances: [InstancesRequest, InstancesResult];
  past: [PastRequest, PastResult];
  node: [NodeRequest, NodeResult];
}

export type Event = UpdatesEvent | DrawingEvent | RunEvent | DiskEvent | NoticeEvent;
