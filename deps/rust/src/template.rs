//! Jinja templates rendered as Python's jinja2 renders them with the settings that checkpoints are published for:
//! trim_blocks, lstrip_blocks, no auto-escaping, loop controls, json.dumps as `tojson`.

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::abi::{guard, quiet_panics, utf8, Code, Failure, Outcome};
use crate::json;
use crate::python::{self, WideNumber};

const NAME: &str = "chat";
const MAX_INDENT: usize = 256;

/// Mirrors quern_template_limits.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct TemplateLimits {
    steps: u64,
    recursion: u32,
    output_bytes: usize,
}

pub struct Template {
    env: Environment<'static>,
    limits: TemplateLimits,
}

fn failure(error: &Error) -> Failure {
    let mut message = match error.detail() {
        Some(detail) => detail.to_string(),
        None => error.kind().to_string(),
    };
    let mut line = error.line().unwrap_or(0);
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(inner) = cause.downcast_ref::<Error>() {
            line = inner.line().unwrap_or(line);
            message = inner.detail().map_or_else(|| inner.kind().to_string(), str::to_string);
        }
        source = cause.source();
    }
    let code = match error.kind() {
        ErrorKind::OutOfFuel => Code::Limit,
        _ if message.contains("recursion limit exceeded") => Code::Limit,
        _ => Code::Invalid,
    };
    if code == Code::Limit && error.kind() == ErrorKind::OutOfFuel {
        message = "the template takes more steps than allowed".to_string();
    }
    Failure {
        code,
        line: line as u32,
        message,
    }
}

fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

fn tojson(value: &Value, indent: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => kwargs.get::<Option<Value>>("indent")?,
    };
    let indent = match indent.filter(|indent| !indent.is_none()) {
        Some(indent) => Some(usize::try_from(indent)?),
        None => None,
    };
    if indent.is_some_and(|indent| indent > MAX_INDENT) {
        return Err(wrong("tojson: indent is too wide"));
    }
    let separators = kwargs.get::<Option<Vec<String>>>("separators")?;
    let (item_separator, key_separator) = match separators.as_deref() {
        Some([item, key]) => (item.clone(), key.clone()),
        Some(_) => return Err(wrong("tojson: separators must be a pair")),
        None if indent.is_some() => (",".to_string(), ": ".to_string()),
        None => (", ".to_string(), ": ".to_string()),
    };
    let style = json::Style {
        indent,
        item_separator,
        key_separator,
        ascii_only: kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false),
        sort_keys: kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false),
    };
    kwargs.assert_all_used()?;
    json::dump(value, &style)
        .map(Value::from)
        .map_err(|e| wrong(format!("tojson: {e}")))
}

fn string(value: Value) -> Value {
    match value.kind() {
        ValueKind::String => value,
        _ => Value::from(python::text(&value)),
    }
}

fn strip(text: &str, chars: Option<&str>, left: bool, right: bool) -> Value {
    let drop = |c: char| chars.map_or_else(|| python::is_space(c), |chars| chars.contains(c));
    let text = if left { text.trim_start_matches(drop) } else { text };
    let text = if right { text.trim_end_matches(drop) } else { text };
    Value::from(text)
}

fn trim(value: Value, chars: Option<String>) -> Value {
    strip(&python::text(&value), chars.as_deref(), true, true)
}

fn length(value: &Value) -> Result<usize, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(0),
        kind => value.len().ok_or_else(|| wrong(format!("length: a {kind} has none"))),
    }
}

fn items(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(Value::from(Vec::<Value>::new())),
        ValueKind::Map => {
            let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
            let pairs = pairs.ok_or_else(|| wrong("items: not a mapping"))?;
            Ok(pairs.map(|(key, item)| Value::from(vec![key, item])).collect())
        }
        kind => Err(wrong(format!(
            "items: can only get pairs from a mapping, not from a {kind}"
        ))),
    }
}

fn indent(
    value: Value,
    width: Option<Value>,
    first: Option<bool>,
    blank: Option<bool>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let width = match width {
        Some(width) => Some(width),
        None => kwargs.get::<Option<Value>>("width")?,
    };
    let first = first.or(kwargs.get::<Option<bool>>("first")?).unwrap_or(false);
    let blank = blank.or(kwargs.get::<Option<bool>>("blank")?).unwrap_or(false);
    kwargs.assert_all_used()?;
    let lead = match width {
        Some(width) => match width.as_str() {
            Some(text) => text.to_string(),
            None => " ".repeat(usize::try_from(width)?.min(MAX_INDENT)),
        },
        None => " ".repeat(4),
    };
    let text = python::text(&value);
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if (index > 0 || first) && (blank || !line.is_empty()) {
            out.push_str(&lead);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

/// Python's methods on strings where the blanks that count differ from Rust's; everything else is minijinja-contrib's.
fn call_method(state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let (Some(text), true) = (value.as_str(), args.is_empty()) {
        match method {
            "strip" => return Ok(strip(text, None, true, true)),
            "lstrip" => return Ok(strip(text, None, true, false)),
            "rstrip" => return Ok(strip(text, None, false, true)),
            "split" => {
                let words = text.split(python::is_space).filter(|word| !word.is_empty());
                return Ok(words.map(Value::from).collect());
            }
            _ => {}
        }
    }
    unknown_method_callback(state, value, method, args)
}

fn raise_exception(message: Value) -> Result<Value, Error> {
    Err(wrong(python::text(&message)))
}

fn strftime_now(format: String) -> Result<Value, Error> {
    use std::fmt::Write;
    let mut out = String::new();
    match write!(out, "{}", chrono::Local::now().format(&format)) {
        Ok(()) => Ok(Value::from(out)),
        Err(_) => Err(wrong("strftime_now: malformed format")),
    }
}

fn wide(value: &Value) -> Option<&WideNumber> {
    value.downcast_object_ref::<WideNumber>()
}

fn is_number(value: &Value) -> bool {
    value.is_number() || value.kind() == ValueKind::Bool || wide(value).is_some()
}

fn is_integer(value: &Value) -> bool {
    value.is_integer() || wide(value).is_some_and(|number| !number.is_float)
}

fn is_float(value: &Value) -> bool {
    (value.is_number() && !value.is_integer()) || wide(value).is_some_and(|number| number.is_float)
}

fn is_sequence(value: &Value) -> bool {
    matches!(
        value.kind(),
        ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined
    )
}

fn is_iterable(value: &Value) -> bool {
    is_sequence(value) || value.kind() == ValueKind::Iterable
}

fn jinja_syntax() -> SyntaxConfig {
    let built = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
    built.unwrap_or_default()
}

fn environment(limits: TemplateLimits) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_syntax(jinja_syntax());
    env.set_debug(false);
    env.set_undefined_behavior(UndefinedBehavior::Lenient);
    env.set_auto_escape_callback(|_| AutoEscape::None);
    env.set_fuel(Some(limits.steps));
    env.set_recursion_limit(limits.recursion as usize);
    env.set_formatter(|out, _, value| {
        let written = match value.as_str() {
            Some(text) => out.write_str(text),
            None => out.write_str(&python::text(value)),
        };
        written.map_err(|_| Error::new(ErrorKind::WriteFailure, "output limit"))
    });
    env.set_unknown_method_callback(call_method);
    env.add_filter("tojson", tojson);
    env.add_filter("string", string);
    env.add_filter("trim", trim);
    env.add_filter("items", items);
    env.add_filter("length", length);
    env.add_filter("count", length);
    env.add_filter("indent", indent);
    env.add_test("number", is_number);
    env.add_test("integer", is_integer);
    env.add_test("float", is_float);
    env.add_test("sequence", is_sequence);
    env.add_test("iterable", is_iterable);
    env.add_function("raise_exception", raise_exception);
    env.add_function("strftime_now", strftime_now);
    env.add_function("debug", |_: Rest<Value>| "");
    env
}

/// Collects output and refuses to grow past the limit.
struct Bounded {
    text: Vec<u8>,
    limit: usize,
    full: bool,
}

impl io::Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.limit - self.text.len() {
            self.full = true;
            return Err(io::Error::other("output limit"));
        }
        self.text.extend_from_slice(data);
        Ok(data.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A template can nest a value once per step, and the engine drops and compares values recursively: on an ordinary stack
/// that ends the process. Measured need: 160 bytes per level to drop, under 400 to compare.
const STACK_BYTES: usize = 1 << 30;

/// Runs body with a stack that is deep enough for as many levels as a template may take steps. The pages are only
/// touched when needed. Where the system refuses so much address space, on the stack there is.
fn on_deep_stack<T: Send>(body: impl Fn() -> T + Send + Sync) -> T {
    let joined = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, &body);
        thread.ok().map(|thread| thread.join())
    });
    match joined {
        Some(Ok(result)) => result,
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        None => body(),
    }
}

impl Template {
    fn new(source: &str, limits: TemplateLimits) -> Result<Template, Failure> {
        let mut env = environment(limits);
        env.add_template_owned(NAME.to_string(), source.to_string())
            .map_err(|e| failure(&e))?;
        Ok(Template { env, limits })
    }

    fn render(&self, context: &str) -> Result<String, Failure> {
        let context =
            json::parse(context).map_err(|e| Failure::new(Code::Invalid, format!("template variables: {e}")))?;
        let template = self.env.get_template(NAME).map_err(|e| failure(&e))?;
        let mut out = Bounded {
            text: Vec::new(),
            limit: self.limits.output_bytes,
            full: false,
        };
        let rendered = template.render_captured_to(context, &mut out).map(drop);
        if out.full {
            let message = format!("the prompt is longer than {} bytes", self.limits.output_bytes);
            return Err(Failure::new(Code::Limit, message));
        }
        rendered.map_err(|e| failure(&e))?;
        String::from_utf8(out.text).map_err(|_| Failure::new(Code::Internal, "output is not UTF-8"))
    }
}

/// # Safety
/// source points at size bytes; out at a pointer to write.
#[no_mangle]
pub unsafe extern "C" fn quern_template_new(
    source: *const u8,
    size: usize,
    limits: *const TemplateLimits,
    out: *mut *mut Template,
) -> Outcome {
    quiet_panics();
    *out = std::ptr::null_mut();
    guard(|| {
        let template = Template::new(utf8(source, size, "template")?, *limits)?;
        *out = Box::into_raw(Box::new(template));
        Ok(String::new())
    })
}

/// # Safety
/// template came from quern_template_new; context points at size bytes.
#[no_mangle]
pub unsafe extern "C" fn quern_template_render(template: *const Template, context: *const u8, size: usize) -> Outcome {
    guard(|| {
        let context = utf8(context, size, "template variables")?;
        let template = &*template;
        on_deep_stack(|| template.render(context))
    })
}

/// # Safety
/// template came from quern_template_new and is not used again.
#[no_mangle]
pub unsafe extern "C" fn quern_template_free(template: *mut Template) {
    if !template.is_null() {
        drop(Box::from_raw(template));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TemplateLimits = TemplateLimits {
        steps: 100_000,
        recursion: 100,
        output_bytes: 10_000,
    };

    fn render(source: &str, context: &str) -> Result<String, (Code, u32, String)> {
        Template::new(source, LIMITS)
            .and_then(|template| template.render(context))
            .map_err(|failure| (failure.code, failure.line, failure.message))
    }

    #[test]
    fn values_print_as_python_prints_them() {
        let context =
            r#"{"v":[true,null,1,1.0,1e16,1e-7,"it's",{"k":[false]},123456789012345678901234567890123456789012]}"#;
        let expected =
            "[True, None, 1, 1.0, 1e+16, 1e-07, \"it's\", {'k': [False]}, 123456789012345678901234567890123456789012]";
        assert_eq!(
            render("{{ v }}|{{ v | string }}|{{ '' ~ v }}", context).unwrap(),
            [expected; 3].join("|")
        );
    }

    #[test]
    fn tojson_is_json_dumps() {
        let context = r#"{"v":{"b":"<é\u0001\n>","a":[1.0,1e16,true,null,{}]}}"#;
        assert_eq!(
            render("{{ v | tojson }}", context).unwrap(),
            r#"{"b": "<é\u0001\n>", "a": [1.0, 1e+16, true, null, {}]}"#
        );
        assert_eq!(
            render("{{ [1, {}] | tojson(indent=2) }}", "{}").unwrap(),
            "[\n  1,\n  {}\n]"
        );
    }

    #[test]
    fn errors_carry_the_line() {
        let (code, line, message) = render(
            "a\n{% if x %}\n{{ raise_exception('no tools') }}{% endif %}",
            r#"{"x":1}"#,
        )
        .unwrap_err();
        assert_eq!((code, line, message.as_str()), (Code::Invalid, 3, "no tools"));
        assert_eq!(render("a\n{% if %}", "{}").unwrap_err().1, 2);
    }

    #[test]
    fn values_nested_as_deep_as_steps_allow_do_no_harm() {
        let limits = TemplateLimits {
            steps: 2_000_000,
            ..LIMITS
        };
        let open = "[".repeat(60);
        let close = "]".repeat(60);
        let grow = format!("{{% set ns.x = {open}ns.x{close} %}}");
        let source = format!(
            "{{% set ns = namespace(x=1) %}}{{% for i in range(12000) %}}{grow}{{% endfor %}}\
             {{% set a = ns.x %}}{{% set b = [a] %}}{{{{ a == b }}}} {{{{ (a | string)[-8:] }}}}"
        );
        let template = Template::new(&source, limits)
            .map_err(|failure| failure.message)
            .unwrap();
        let text = on_deep_stack(|| template.render("{}").map_err(|failure| failure.message));
        assert_eq!(text.unwrap(), "False ]]]]]]]]");
    }

    #[test]
    fn limits_stop_runaways() {
        let (code, _, message) = render(
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
            "{}",
        )
        .unwrap_err();
        assert_eq!(
            (code, message.as_str()),
            (Code::Limit, "the template takes more steps than allowed")
        );
        let (code, _, _) = render("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "{}").unwrap_err();
        assert_eq!(code, Code::Limit);
        let (code, _, _) = render("{% for i in range(2000) %}123456{% endfor %}", "{}").unwrap_err();
        assert_eq!(code, Code::Limit);
    }
}
