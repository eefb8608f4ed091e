//! JSON text to template values and back as Python's json module does it: key order kept, integers exact.

use std::fmt::Write;
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::value::ValueKind;
use minijinja::Value;

use crate::python::{self, Dict, List, WideNumber};

const MAX_DEPTH: usize = 128;

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

/// The whole text as one value; the error says what and at which byte.
pub fn parse(text: &str) -> Result<Value, String> {
    let mut reader = Reader { text, at: 0 };
    let value = reader.value(0)?;
    reader.blanks();
    if reader.at != text.len() {
        return reader.fail("text after the value");
    }
    Ok(value)
}

impl<'a> Reader<'a> {
    fn fail<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("{what} at byte {}", self.at))
    }
    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }
    fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }
    fn expect(&mut self, byte: u8) -> Result<(), String> {
        self.blanks();
        if self.peek() != byte {
            return self.fail(&format!("expected '{}'", byte as char));
        }
        self.at += 1;
        Ok(())
    }
    fn word(&mut self, word: &str, value: Value) -> Result<Value, String> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail("unknown word");
        }
        self.at += word.len();
        Ok(value)
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > MAX_DEPTH {
            return self.fail("nested deeper than 128 levels");
        }
        self.blanks();
        match self.peek() {
            b'{' => self.object(depth),
            b'[' => self.array(depth),
            b'"' => Ok(Value::from(self.string()?)),
            b't' => self.word("true", Value::from(true)),
            b'f' => self.word("false", Value::from(false)),
            b'n' => self.word("null", Value::from(())),
            b'-' | b'0'..=b'9' => self.number(),
            _ => self.fail("expected a value"),
        }
    }

    fn object(&mut self, depth: usize) -> Result<Value, String> {
        let mut members = IndexMap::<Arc<str>, Value>::new();
        self.at += 1;
        self.blanks();
        if self.peek() == b'}' {
            self.at += 1;
            return Ok(Value::from_object(Dict(members)));
        }
        loop {
            self.blanks();
            let key = self.string()?;
            self.expect(b':')?;
            let value = self.value(depth + 1)?;
            members.insert(key.into(), value);
            self.blanks();
            if self.peek() != b',' {
                break;
            }
            self.at += 1;
        }
        self.expect(b'}')?;
        Ok(Value::from_object(Dict(members)))
    }

    fn array(&mut self, depth: usize) -> Result<Value, String> {
        let mut items = Vec::new();
        self.at += 1;
        self.blanks();
        if self.peek() == b']' {
            self.at += 1;
            return Ok(Value::from_object(List(items)));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.blanks();
            if self.peek() != b',' {
                break;
            }
            self.at += 1;
        }
        self.expect(b']')?;
        Ok(Value::from_object(List(items)))
    }

    fn number(&mut self) -> Result<Value, String> {
        let start = self.at;
        while matches!(self.peek(), b'+' | b'-' | b'.' | b'e' | b'E' | b'0'..=b'9') {
            self.at += 1;
        }
        let text = &self.text[start..self.at];
        if text.contains(['.', 'e', 'E']) {
            return match text.parse::<f64>() {
                Ok(number) => Ok(python::float_value(number)),
                Err(_) => self.fail("malformed number"),
            };
        }
        if let Ok(number) = text.parse::<i64>() {
            return Ok(Value::from(number));
        }
        if let Ok(number) = text.parse::<i128>() {
            return Ok(Value::from(number));
        }
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return self.fail("malformed number");
        }
        Ok(Value::from_object(WideNumber {
            text: text.to_string(),
            is_float: false,
        }))
    }

    fn string(&mut self) -> Result<String, String> {
        if self.peek() != b'"' {
            return self.fail("expected a string");
        }
        self.at += 1;
        let mut out = String::new();
        loop {
            let rest = &self.text[self.at..];
            let plain = rest.find(['"', '\\']).ok_or("string without end")?;
            out.push_str(&rest[..plain]);
            self.at += plain + 1;
            if rest.as_bytes()[plain] == b'"' {
                return Ok(out);
            }
            out.push(self.escape()?);
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let kind = self.peek();
        self.at += 1;
        Ok(match kind {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let mut code = self.hex4()?;
                if (0xd800..0xdc00).contains(&code) && self.text[self.at..].starts_with("\\u") {
                    self.at += 2;
                    let low = self.hex4()?;
                    if !(0xdc00..0xe000).contains(&low) {
                        return self.fail("half a surrogate pair");
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(code).ok_or_else(|| format!("half a surrogate pair at byte {}", self.at))?
            }
            _ => return self.fail("unknown escape"),
        })
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let code = self
            .text
            .get(self.at..self.at + 4)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u32::from_str_radix(digits, 16).ok());
        match code {
            Some(code) => {
                self.at += 4;
                Ok(code)
            }
            None => self.fail("malformed escape"),
        }
    }
}

/// Settings of json.dumps that templates use.
pub struct Style {
    pub indent: Option<usize>,
    pub item_separator: String,
    pub key_separator: String,
    pub ascii_only: bool,
    pub sort_keys: bool,
}

/// json.dumps(value); the error names what cannot be written.
pub fn dump(value: &Value, style: &Style) -> Result<String, String> {
    let mut out = String::new();
    write_value(&mut out, value, style, 0)?;
    Ok(out)
}

fn write_value(out: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("value nested deeper than 128 levels".to_string());
    }
    match value.kind() {
        ValueKind::None => out.push_str("null"),
        ValueKind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        ValueKind::String => write_string(out, value.as_str().unwrap_or_default(), style),
        ValueKind::Number => out.push_str(&number_text(value)),
        ValueKind::Plain => match value.downcast_object_ref::<WideNumber>() {
            Some(number) => out.push_str(match number.text.as_str() {
                "inf" => "Infinity",
                "-inf" => "-Infinity",
                text => text,
            }),
            None => return Err("object is not JSON serializable".to_string()),
        },
        ValueKind::Map => write_map(out, value, style, depth)?,
        ValueKind::Seq => {
            let items = value.try_iter().map_err(|e| e.to_string())?;
            write_items(out, items, style, depth, ('[', ']'), |out, item| {
                write_value(out, &item, style, depth + 1)
            })?;
        }
        kind => return Err(format!("{kind} value is not JSON serializable")),
    }
    Ok(())
}

fn write_map(out: &mut String, value: &Value, style: &Style, depth: usize) -> Result<(), String> {
    let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
    let mut pairs: Vec<(Value, Value)> = pairs.ok_or("map without members")?.collect();
    if style.sort_keys {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
    }
    write_items(out, pairs.into_iter(), style, depth, ('{', '}'), |out, (key, value)| {
        match key.kind() {
            ValueKind::String => write_string(out, key.as_str().unwrap_or_default(), style),
            ValueKind::None => out.push_str("\"null\""),
            ValueKind::Bool => out.push_str(if key.is_true() { "\"true\"" } else { "\"false\"" }),
            ValueKind::Number => write_string(out, &number_text(&key), style),
            kind => return Err(format!("a key that is a {kind} is not JSON serializable")),
        }
        out.push_str(&style.key_separator);
        write_value(out, &value, style, depth + 1)
    })
}

fn write_items<T>(
    out: &mut String,
    items: impl Iterator<Item = T>,
    style: &Style,
    depth: usize,
    brackets: (char, char),
    mut write: impl FnMut(&mut String, T) -> Result<(), String>,
) -> Result<(), String> {
    out.push(brackets.0);
    let mut n_items = 0;
    for item in items {
        if n_items > 0 {
            out.push_str(&style.item_separator);
        }
        new_line(out, style, depth + 1);
        write(out, item)?;
        n_items += 1;
    }
    if n_items > 0 {
        new_line(out, style, depth);
    }
    out.push(brackets.1);
    Ok(())
}

fn new_line(out: &mut String, style: &Style, depth: usize) {
    if let Some(width) = style.indent {
        out.push('\n');
        out.extend(std::iter::repeat_n(' ', width * depth));
    }
}

fn number_text(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    match f64::try_from(value.clone()) {
        Ok(number) if number.is_nan() => "NaN".to_string(),
        Ok(number) if number.is_infinite() => if number > 0.0 { "Infinity" } else { "-Infinity" }.to_string(),
        Ok(number) => python::float_text(number),
        Err(_) => value.to_string(),
    }
}

fn write_string(out: &mut String, text: &str, style: &Style) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (style.ascii_only && !c.is_ascii()) || (style.ascii_only && c == '\u{7f}') => {
                let mut units = [0u16; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}
