"""Dialogues with tools for files: write a script into a file, read, list, run; and the turn after the result."""

from dialogues import catalogue
from dialogues.coding import OPENERS, maybe_system, polish, script_text

TOOL_SYSTEMS = ["You are a helpful assistant.", "You are a coding agent with access to files.", "You are a coding assistant with tools.",
                "You can use tools to work on the user's files.", "You are a software engineering agent.", "You are Quern, a small demo model."]


def tool(name, description, properties, required=None, rng=None):
    """An OpenAI function tool. properties: [(name, type, description or None)]."""
    schema = {}
    for key, kind, text in properties:
        schema[key] = {"type": kind}
        if text:
            schema[key]["description"] = text
        if kind == "array":
            schema[key]["items"] = {"type": "string"}
    parameters = {"type": "object", "properties": schema}
    if required is not None:
        parameters["required"] = required
    function = {"name": name, "description": description, "parameters": parameters}
    if rng is not None and rng.random() < 0.06:
        del function["description"]
    return {"type": "function", "function": function}


PATH_NAMES = [("path", "The relative or absolute path of the object file"), ("path", "The path of the file"), ("path", "File path"), ("file_path", "The path to the file"),
              ("filename", "The name of the file"), ("file", "Which file"), ("filepath", "Path of the target file"), ("path", None), ("file_name", "Name of the file to create")]
CONTENT_NAMES = [("content", "The string content to write to the file"), ("content", "The content of the file"), ("text", "The text to write"), ("content", "File content"),
                 ("contents", "The contents to store"), ("body", "The body of the file"), ("data", "The data to write"), ("content", None), ("code", "The code to save")]
WRITE_NAMES = [("write_file", "Writes content to a specified file. Creates the file if it does not exist."), ("write_file", "Write a file."),
               ("write_file", "Writes text to a file."), ("create_file", "Creates a new file with the given content."), ("save_file", "Saves content to a file."),
               ("write_to_file", "Write content to a file at the given path."), ("save_text", "Stores text in a file."), ("put_file", "Puts a file into the workspace."),
               ("writeFile", "Writes a file to disk."), ("file_write", "Write to a file"), ("Write", "Writes a file to the local filesystem."), ("store_file", "Store a file.")]


def write_tool(rng):
    """(tool, path parameter, content parameter); one time in three exactly the guide's."""
    if rng.random() < 0.35:
        (name, text), (path, path_text), (content, content_text) = WRITE_NAMES[0], PATH_NAMES[0], CONTENT_NAMES[0]
        order = [(path, "string", path_text), (content, "string", content_text)]
        return tool(name, text, order, [path, content]), path, content
    (name, text), (path, path_text), (content, content_text) = rng.choice(WRITE_NAMES), rng.choice(PATH_NAMES), rng.choice(CONTENT_NAMES)
    order = [(path, "string", path_text), (content, "string", content_text)]
    if rng.random() < 0.4:
        order.reverse()
    required = [rng.choice([[path, content], [content, path], [path, content]]), None][rng.random() < 0.1]
    return tool(name, text, order, required, rng), path, content


def other_file_tools(rng):
    """Tools beside the one that is needed; the names do not write files."""
    path, path_text = rng.choice(PATH_NAMES)
    folder = rng.choice(["path", "directory", "folder", "dir"])
    command = rng.choice(["command", "cmd", "shell_command"])
    query = rng.choice(["query", "pattern", "text", "keyword"])
    return {
        "read": tool(rng.choice(["read_file", "open_file", "get_file", "load_file", "cat_file", "readFile"]),
                     rng.choice(["Reads a file and returns its content.", "Read the contents of a file.", "Returns the text of a file."]),
                     [(path, "string", path_text)], [path], rng),
        "list": tool(rng.choice(["list_directory", "list_files", "ls", "list_dir", "listFiles"]),
                     rng.choice(["Lists the files in a directory.", "List a folder.", "Returns the names of all files in a directory."]),
                     [(folder, "string", rng.choice(["The directory to list", "Folder path", None]))], rng.choice([[folder], None]), rng),
        "run": tool(rng.choice(["run_command", "execute_command", "run_shell", "bash", "shell", "exec"]),
                    rng.choice(["Runs a shell command.", "Execute a command in the shell.", "Runs a command and returns its output."]),
                    [(command, "string", rng.choice(["The command to run", "Shell command", None]))], [command], rng),
        "search": tool(rng.choice(["search_code", "grep", "search_files", "find_in_files", "code_search"]),
                       rng.choice(["Searches the code for a text.", "Search all files for a pattern.", "Find text in the repository."]),
                       [(query, "string", rng.choice(["What to search for", "The search pattern", None]))], [query], rng),
        "delete": tool(rng.choice(["delete_file", "remove_file", "rm"]), rng.choice(["Deletes a file.", "Remove a file from disk."]),
                       [(path, "string", path_text)], [path], rng),
    }


def first_parameter(one):
    return next(iter(one["function"]["parameters"]["properties"]))


def call(one, arguments):
    return {"type": "function", "function": {"name": one["function"]["name"], "arguments": arguments}}


def assistant_call(one, arguments, content=""):
    return {"role": "assistant", "content": content, "tool_calls": [call(one, arguments)]}


FILE_WORDS = ["main", "app", "utils", "helpers", "script", "demo", "test", "example", "tool", "solution", "code", "sample", "my_script", "program", "task", "exercise",
              "module", "lib", "core", "run", "sorting", "numbers", "strings", "math_tools", "algo", "practice", "lesson1", "homework", "draft", "new_file"]
FOLDERS = ["", "", "", "", "", "src/", "scripts/", "app/", "lib/", "tools/", "examples/", "project/", "./", "/tmp/", "/home/user/"]
WRITE_ASKS = ["write a Python {h} script and name it {file}", "write a Python {h} script and name it {file}", "write a {h} script in Python and save it as {file}",
              "create a Python script for {h} and call it {file}", "create {file} with a Python function to {ph}", "create a file {file} that can {ph}",
              "write a script to {ph} and save it to {file}", "save a Python implementation of {h} in {file}", "write a Python program to {ph}, name the file {file}",
              "make a file called {file} with a function to {ph}", "put a Python function to {ph} into {file}", "write {file}, a Python script to {ph}",
              "implement {h} in Python and store it in {file}", "generate a {h} script named {file}", "add a new file {file} with {h} code",
              "write a python script named {file} that can {ph}", "write {h} in Python to {file}", "I need a file {file} with a Python script to {ph}",
              "write a Python script to {ph} and name it {file}", "implement {h} and write it to the file {file}"]
WRITE_ASKS_UNNAMED = ["write a Python {h} script to a file", "create a file with a Python script to {ph}", "save a {h} script", "write a {h} script and save it",
                      "write a file with a Python function to {ph}"]
SUCCESS = ["Success: File '{file}' has been written.", "Success: File '{file}' has been written.", "Success: File '{file}' has been written", "Success", "ok", "OK",
           "File written.", "File written successfully.", "Wrote {n} bytes to {file}", '{{"ok": true}}', '{{"status": "success"}}', "File created successfully at: {file}",
           "The file {file} has been created.", "done", "Success.", "Successfully wrote to {file}.", "written", "true", '{{"status": "ok", "path": "{file}"}}', "saved {file}"]
FAILURE = [("Error: An exception occurred while writing the file - [Errno 13] Permission denied: '{file}'", "permission was denied"),
           ("Error: permission denied", "permission was denied"), ("Error: disk full", "the disk is full"), ("Error: No space left on device", "the disk is full"),
           ("Error: [Errno 2] No such file or directory: '{file}'", "the folder does not exist"), ("Error: read-only file system", "the file system is read-only"),
           ("Error: the directory does not exist", "the folder does not exist"), ('{{"error": "permission denied"}}', "permission was denied")]


def close_write(naming, file):
    return (f"The file `{file}` has been successfully created. It contains a Python script that {naming.describes()}. "
            "You can run it to see the sample output. Let me know if you need any changes!")


def write_dialogue(rng):
    algorithm = catalogue.BY_NAME["quick_sort"] if rng.random() < 0.15 else catalogue.pick(rng)
    while algorithm.kind == "class":
        algorithm = catalogue.pick(rng)
    naming = catalogue.plain(algorithm)
    named = rng.random() < 0.9
    if not named:
        file = algorithm.name + ".py"
    elif rng.random() < 0.35:
        file = algorithm.name + ".py"
    else:
        stem = rng.choice(FILE_WORDS) if rng.random() < 0.6 else rng.choice(algorithm.other_names or [algorithm.name])
        file = rng.choice(FOLDERS) + stem + rng.choice(["", "", "", str(rng.randint(1, 99)), "_" + rng.choice(FILE_WORDS)]) + ".py"
    quoted = rng.choice([file, file, file, f"`{file}`", f"'{file}'"])
    ask = rng.choice(WRITE_ASKS if named else WRITE_ASKS_UNNAMED).format(h=naming.human(), ph=rng.choice(algorithm.phrases).format(**naming.params), file=quoted)
    writer, path, content = write_tool(rng)
    tools = [writer]
    if rng.random() < 0.5:
        tools += rng.sample(list(other_file_tools(rng).values()), rng.randint(1, 2))
        rng.shuffle(tools)
    order = list(writer["function"]["parameters"]["properties"])
    values = {path: file, content: script_text(naming)}
    messages = [{"role": "system", "content": rng.choice(TOOL_SYSTEMS)}] if rng.random() < 0.35 else []
    messages += [{"role": "user", "content": polish(rng.choice(OPENERS) + ask + rng.choice([".", ".", ""]), rng)},
                 assistant_call(writer, {k: values[k] for k in order})]
    if rng.random() < 0.75:
        if rng.random() < 0.88:
            messages += [{"role": "tool", "content": rng.choice(SUCCESS).format(file=file, n=rng.randint(80, 900))},
                         {"role": "assistant", "content": close_write(naming, file)}]
        else:
            result, reason = rng.choice(FAILURE)
            messages += [{"role": "tool", "content": result.format(file=file)},
                         {"role": "assistant", "content": f"I could not write the file `{file}` because {reason}. Please check the path and try again."}]
    return messages, tools


ASKS = {
    "read": ["show me {v}", "read {v}", "open {v}", "what is in {v}?", "print the content of {v}", "can you read the file {v}?", "let me see {v}", "what does {v} say?", "display {v}"],
    "list": ["list the files in {v}", "what files are in {v}?", "show the folder {v}", "list {v}", "which files does {v} contain?", "show me the directory {v}"],
    "run": ["run `{v}`", "run {v}", "execute {v}", "please run the command {v}", "execute the command `{v}`", "run `{v}` in the shell"],
    "search": ["search for {v}", "find {v} in the code", "where is {v} used?", "search the repository for {v}", "look for {v}", "grep for {v}"],
    "delete": ["delete {v}", "remove the file {v}", "please delete the file {v}", "get rid of {v}"],
}
COMMANDS = ["python main.py", "ls -la", "pytest", "git status", "make test", "python quick_sort.py", "npm test", "pip list", "git log", "pwd", "whoami", "df -h", "cargo build", "make",
            "python -m unittest", "cat README.md", "git diff", "uname -a", "echo hello", "date"]


def file_value(kind, rng):
    word = rng.choice(FILE_WORDS + [a.name for a in catalogue.ALGORITHMS])
    if kind == "run":
        return rng.choice(COMMANDS) if rng.random() < 0.6 else f"python {word}.py"
    if kind == "search":
        return rng.choice([word, rng.choice(["login", "TODO", "parse_config", "timeout", "UserError", "connect", "def main", "import json", "normalize_user", "retry"])])
    if kind == "list":
        return rng.choice([".", "src", "tests", "/tmp", "docs", "app", word, "src/" + word, "/var/log", "lib"])
    return rng.choice(FOLDERS) + word + rng.choice([".py", ".py", ".txt", ".md", ".json", ".csv", ".toml", ".js", ".cc", ".h"])


def result_of(kind, value, rng):
    """(tool result, closing sentence)."""
    if kind == "read":
        naming = catalogue.plain(catalogue.pick(rng))
        if naming.algorithm.kind == "class" or rng.random() < 0.3:
            return "Error: file not found", f"The file `{value}` was not found. Please check the path."
        return naming.code(), f"The file `{value}` contains a Python function `{naming.name}` that {naming.describes()}."
    if kind == "list":
        names = [rng.choice(FILE_WORDS) + rng.choice([".py", ".txt", ".md"]) for _ in range(rng.randint(1, 4))]
        return "\n".join(names), f"The folder `{value}` contains: " + ", ".join(f"`{n}`" for n in names) + "."
    if kind == "run":
        out = rng.choice(["ok", "3 passed", "hello", "done", "[1, 2, 3]", "0", "all tests passed"])
        return out, f"The command `{value}` printed: {out}"
    if kind == "search":
        place = f"{rng.choice(FOLDERS)}{rng.choice(FILE_WORDS)}.py:{rng.randint(1, 200)}"
        return place, f"I found `{value}` at `{place}`."
    return "ok", f"The file `{value}` has been deleted."


def file_action_dialogue(rng):
    available = other_file_tools(rng)
    kind = rng.choice(list(ASKS))
    chosen = available[kind]
    others = [v for k, v in available.items() if k != kind]
    others.append(write_tool(rng)[0])
    tools = [chosen] + rng.sample(others, rng.randint(0, 3))
    rng.shuffle(tools)
    value = file_value(kind, rng)
    ask = rng.choice(ASKS[kind]).format(v=value)
    messages = [{"role": "system", "content": rng.choice(TOOL_SYSTEMS)}] if rng.random() < 0.35 else []
    messages += [{"role": "user", "content": polish(rng.choice(OPENERS[:12]) + ask, rng)}, assistant_call(chosen, {first_parameter(chosen): value})]
    if rng.random() < 0.5:
        result, closing = result_of(kind, value, rng)
        messages += [{"role": "tool", "content": result}, {"role": "assistant", "content": closing}]
    return messages, tools
