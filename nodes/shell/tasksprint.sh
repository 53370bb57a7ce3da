# A one-file SDK for nodes in POSIX shell: sh, awk, sed and nothing else.
#
# A node sets TASKS to the names of its tasks, defines a function task_NAME for each, and then reads this file:
#
#     TASKS="lines"
#     task_lines() { give lines "$(wc -l <"$arg_path" | tr -d ' ')"; }
#     . "$(dirname "$0")/tasksprint.sh"
#
# In a task:   $arg_NAME            an argument (text, or the JSON text of a number, true, false, null)
#              $input_1 $input_2 .. the prerequisites, in order: values as above, or the path of a file
#              $inputs              how many there are;  $input_1_is_file is 1 where it is a file
#              $task $seed $folder  the task's number, its seed (16 hex digits), its folder (it exists)
# A task says: give KEY JSON        a piece of the result: a number, true, false, null, or JSON text
#              give_text KEY TEXT   a piece that is a string
#              give_file KEY NAME   a piece that is the file $folder/NAME
#              log TEXT             a line for the job's log (what its commands print goes there too)
#              fail TEXT            the task has failed (so it has when its function returns another code than 0)
#
# Arguments inside arguments are $arg_OUTER_INNER, items of lists $arg_NAME_1, $arg_NAME_2, ..; characters of a name
# other than letters and digits become _.  Each line of the client costs an awk (about 2 ms), and a run of long JSON
# values costs more: hand large inputs over as files.

LC_ALL=C
export LC_ALL

# JSON text on stdin to shell assignments, every value in single quotes: type='run', arg_path='/etc/passwd', ...
json_to_shell='
function blank() { while (substr(s, p, 1) ~ /[ \t\r\n]/ && p <= length(s)) p++ }
function utf8(c) {
  if (c < 128) return c ? sprintf("%c", c) : ""
  if (c < 2048) return sprintf("%c%c", 192 + int(c / 64), 128 + c % 64)
  if (c < 65536) return sprintf("%c%c%c", 224 + int(c / 4096), 128 + int(c / 64) % 64, 128 + c % 64)
  return sprintf("%c%c%c%c", 240 + int(c / 262144), 128 + int(c / 4096) % 64, 128 + int(c / 64) % 64, 128 + c % 64)
}
function hex(t,  i, n) {
  n = 0
  for (i = 1; i <= 4; i++) n = n * 16 + index("0123456789abcdef", tolower(substr(t, i, 1))) - 1
  return n
}
function text(  out, rest, n, e, c) {  # p stands on the opening quote
  out = ""; rest = substr(s, p + 1); p++
  while (match(rest, /["\\]/)) {
    out = out substr(rest, 1, RSTART - 1); n = RSTART; c = substr(rest, n, 1)
    if (c == "\"") { p += n; return out }
    e = substr(rest, n + 1, 1)
    if (e == "u") {
      c = hex(substr(rest, n + 2, 4)); n += 4
      if (c >= 55296 && c < 56320) { c = 65536 + (c - 55296) * 1024 + hex(substr(rest, n + 4, 4)) - 56320; n += 6 }
      out = out utf8(c)
    } else out = out (e == "n" ? "\n" : e == "t" ? "\t" : e == "r" ? "\r" : e == "b" ? "\b" : e == "f" ? "\f" : e)
    rest = substr(rest, n + 2); p += n + 1
  }
  bad()
}
function bad() { print "type=garbage"; exit }
function name(path, key) {
  gsub(/[^A-Za-z0-9]/, "_", key)
  return path == "" ? key : path "_" key
}
function assign(path, value) {
  # the names of the protocol to those of a task: json_args_path is arg_path, json_inputs_1_value is input_1
  if (path ~ /^json_inputs_[0-9]+__file$/) { sub(/__file$/, "", path); assign(path "_is_file", 1) }
  sub(/^json_args_/, "arg_", path); sub(/^json_inputs_count$/, "inputs", path)
  sub(/^json_inputs_/, "input_", path); sub(/^json_/, "", path)
  if (path ~ /^input_[0-9]+_value$/) sub(/_value$/, "", path)
  gsub(/\047/, "\047\\\047\047", value)
  out_text = out_text path "=\047" value "\047\n"
}
function value(path,  c, key, n) {
  blank(); c = substr(s, p, 1)
  if (c == "\"") { assign(path, text()); return }
  if (c == "{" || c == "[") {
    p++; n = 0; blank()
    if (substr(s, p, 1) ~ /[]}]/) { p++; if (c == "[") assign(name(path, "count"), 0); return }
    do {
      n++; blank()
      if (c == "{") { if (substr(s, p, 1) != "\"") bad(); key = text(); blank(); p++ } else key = n
      value(name(path, key)); blank(); p++
    } while (substr(s, p - 1, 1) == ",")
    if (substr(s, p - 1, 1) !~ /[]}]/) bad()
    if (c == "[") assign(name(path, "count"), n)
    return
  }
  if (!match(substr(s, p, 64), /^[-+.0-9a-zA-Z]+/)) bad()
  assign(path, substr(s, p, RLENGTH)); p += RLENGTH
}
{ s = s $0 }
END { p = 1; out_text = ""; blank(); if (substr(s, p, 1) != "{") bad(); value("json"); printf "%s", out_text }
'

quoted() { printf '"%s"' "$(printf '%s' "$1" | tr '\n\t' '  ' | tr -d '\000-\037' | sed 's/[\\"]/\\&/g')"; }

give() { result="$result${result:+,}$(quoted "$1"):$2"; }
give_text() { give "$1" "$(quoted "$2")"; }
give_file() { give "$1" "{\"\$file\":$(quoted "$2")}"; }
log() { printf '{"type":"log","task":%s,"text":%s}\n' "$task" "$(quoted "$1")" >&3; }
failed() { printf '{"type":"failed","task":%s,"error":%s}\n' "$task" "$(quoted "$1")" >&3; }
fail() { failed "$1"; exit 0; }

# One line of the client, in a subshell, so that nothing of it is left for the next; 99: the conversation is over.
answer() {
  eval "$assignments"
  case $type in
    hello) printf '{"type":"ready","version":1,"tasks":[%s]}\n' "$(for each in $TASKS; do printf '%s"%s"' "$comma" "$each"; comma=,; done)" >&3 ;;
    run) run_task ;;
    cancel) ;; # of a task that was answered before this line was read
    bye) exit 99 ;;
    garbage) echo "a line that is no JSON object" >&2; exit 98 ;;
    *) echo "a message of the unknown type '$type'" >&2; exit 98 ;;
  esac
}

run_task() {
  case " $TASKS " in
    *" $name "*) ;;
    *) failed "this node has no task '$name'; it has: $TASKS"; return ;;
  esac
  result=
  "task_$name" </dev/null
  code=$?
  if [ "$code" -eq 0 ]; then
    printf '{"type":"done","task":%s,"result":{%s}}\n' "$task" "$result" >&3
  else
    failed "the task $name returned the code $code"
  fi
}

exec 3>&1 1>&2
while IFS= read -r line; do
  assignments=$(printf '%s\n' "$line" | awk "$json_to_shell")
  (comma= inputs=0; answer)
  code=$?
  case $code in
    0) ;;
    99) exit 0 ;;
    *) exit 2 ;;
  esac
done
exit 0
