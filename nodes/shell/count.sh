#!/bin/sh
# A node in plain shell: counts lines and matches in files, and adds the counts up.

TASKS="lines matches matching total"

# lines(path): the lines and bytes of a file
task_lines() {
  [ -r "$arg_path" ] || fail "cannot read $arg_path"
  give lines "$(wc -l <"$arg_path" | tr -d ' ')"
  give bytes "$(wc -c <"$arg_path" | tr -d ' ')"
}

# matches(path, pattern): how many lines of a file match a basic regular expression
task_matches() {
  [ -r "$arg_path" ] || fail "cannot read $arg_path"
  count=$(grep -c -e "$arg_pattern" "$arg_path")
  [ $? -le 1 ] || fail "grep does not understand the pattern $arg_pattern"
  give matches "$count"
}

# matching(path, pattern): those lines themselves, as a file
task_matching() {
  [ -r "$arg_path" ] || fail "cannot read $arg_path"
  grep -e "$arg_pattern" "$arg_path" >"$folder/lines"
  [ $? -le 1 ] || fail "grep does not understand the pattern $arg_pattern"
  give_file lines lines
}

# total(counts...): the sum of its prerequisites, each a number, or a file of which the lines count
task_total() {
  sum=0
  number=1
  while [ "$number" -le "$inputs" ]; do
    eval "each=\$input_$number is_file=\${input_${number}_is_file:-0}"
    [ "$is_file" -eq 0 ] || each=$(wc -l <"$each")
    sum=$((sum + each))
    number=$((number + 1))
  done
  give total "$sum"
}

. "$(dirname "$0")/tasksprint.sh"
