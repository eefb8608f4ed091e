//! How Python writes values: str(), repr() and the containers that print that way inside a template.

use std::fmt::{self, Write};
use std::sync::Arc;

use indexmap::IndexMap;
use minijinja::value::{Enumerator, Object, ObjectRepr, ValueKind};
use minijinja::Value;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// A JSON object: keys in the order given, the last of equal keys wins.
#[derive(Debug)]
pub struct Dict(pub IndexMap<Arc<str>, Value>);

impl Object for Dict {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Map
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).cloned()
    }
    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.0.get(key).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.0.keys().map(|key| Value::from(key.clone())).collect())
    }
    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.0.len())
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_dict(
            f,
            self.0
                .iter()
                .map(|(key, value)| (Value::from(key.clone()), value.clone())),
            0,
        )
    }
}

/// A JSON array.
#[derive(Debug)]
pub struct List(pub Vec<Value>);

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_usize()?).cloned()
    }
    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.0.len())
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_list(f, self.0.iter().cloned(), ('[', ']'), 0)
    }
}

/// A number that the engine's own numbers cannot hold or print as Python does: integers beyond 128 bits, floats with an
/// exponent or digits of their own. It prints and serialises exactly and takes no part in arithmetic.
#[derive(Debug)]
pub struct WideNumber {
    pub text: String,
    pub is_float: bool,
}

impl Object for WideNumber {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Digits of the shortest decimal that reads back as value and, of those, the closest; half-way to the even digit, where
/// Rust rounds up. As "d.ddde-7".
fn shortest_digits(value: f64) -> String {
    let shortest = format!("{value:e}");
    let n_digits = shortest
        .split('e')
        .next()
        .unwrap_or("")
        .bytes()
        .filter(u8::is_ascii_digit)
        .count();
    let closest = format!("{value:.*e}", n_digits.saturating_sub(1));
    if closest.parse() == Ok(value) {
        closest
    } else {
        shortest
    }
}

/// The mantissa's digits with the point moved by exponent.
fn plain_decimal(mantissa: &str, exponent: i32) -> String {
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits.replace('.', "")),
        None => ("", mantissa.replace('.', "")),
    };
    if exponent < 0 {
        return format!("{sign}0.{}{digits}", "0".repeat((-exponent - 1) as usize));
    }
    let n_whole = exponent as usize + 1;
    if digits.len() <= n_whole {
        return format!("{sign}{digits:0<n_whole$}.0");
    }
    format!("{sign}{}.{}", &digits[..n_whole], &digits[n_whole..])
}

/// repr(float): shortest digits that read back, an exponent below 1e-4 and from 1e16 on.
pub fn float_text(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_string();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf" } else { "-inf" }.to_string();
    }
    let scientific = shortest_digits(value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..16).contains(&exponent) {
        return plain_decimal(mantissa, exponent);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

pub fn float_value(value: f64) -> Value {
    let text = float_text(value);
    let number = Value::from(value);
    if value.is_finite() && text == number.to_string() {
        number
    } else {
        Value::from_object(WideNumber { text, is_float: true })
    }
}

/// str(value), as a template prints it.
pub fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::String | ValueKind::Undefined => value.to_string(),
        _ => {
            let mut out = String::new();
            let _ = write_repr(&mut out, value);
            out
        }
    }
}

/// Containers inside each other beyond this are written as "...".
const MAX_DEPTH: usize = 128;

pub fn write_repr(out: &mut impl Write, value: &Value) -> fmt::Result {
    write_repr_at(out, value, 0)
}

fn write_repr_at(out: &mut impl Write, value: &Value, depth: usize) -> fmt::Result {
    if depth > MAX_DEPTH {
        return out.write_str("...");
    }
    match value.kind() {
        ValueKind::String => write_str_repr(out, value.as_str().unwrap_or_default()),
        ValueKind::Undefined => out.write_str("Undefined"),
        ValueKind::Number if !value.is_integer() => match f64::try_from(value.clone()) {
            Ok(number) => out.write_str(&float_text(number)),
            Err(_) => write!(out, "{value}"),
        },
        ValueKind::Map => match value.as_object().and_then(|object| object.try_iter_pairs()) {
            Some(pairs) => write_dict(out, pairs, depth),
            None => write!(out, "{value}"),
        },
        ValueKind::Seq => match value.try_iter() {
            Ok(items) if value.is_tuple() => write_tuple(out, items.collect(), depth),
            Ok(items) => write_list(out, items, ('[', ']'), depth),
            Err(_) => write!(out, "{value}"),
        },
        _ => write!(out, "{value}"),
    }
}

fn write_dict(out: &mut impl Write, pairs: impl Iterator<Item = (Value, Value)>, depth: usize) -> fmt::Result {
    out.write_char('{')?;
    for (index, (key, value)) in pairs.enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        write_repr_at(out, &key, depth + 1)?;
        out.write_str(": ")?;
        write_repr_at(out, &value, depth + 1)?;
    }
    out.write_char('}')
}

fn write_list(
    out: &mut impl Write,
    items: impl Iterator<Item = Value>,
    brackets: (char, char),
    depth: usize,
) -> fmt::Result {
    out.write_char(brackets.0)?;
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        write_repr_at(out, &item, depth + 1)?;
    }
    out.write_char(brackets.1)
}

fn write_tuple(out: &mut impl Write, items: Vec<Value>, depth: usize) -> fmt::Result {
    if let [only] = items.as_slice() {
        out.write_char('(')?;
        write_repr_at(out, only, depth + 1)?;
        return out.write_str(",)");
    }
    write_list(out, items.into_iter(), ('(', ')'), depth)
}

fn write_str_repr(out: &mut impl Write, text: &str) -> fmt::Result {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.write_char(quote)?;
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            c if c == quote => write!(out, "\\{c}")?,
            c if is_printable(c) => out.write_char(c)?,
            c if (c as u32) <= 0xff => write!(out, "\\x{:02x}", c as u32)?,
            c if (c as u32) <= 0xffff => write!(out, "\\u{:04x}", c as u32)?,
            c => write!(out, "\\U{:08x}", c as u32)?,
        }
    }
    out.write_char(quote)
}

/// str.isprintable() of one character: everything but the categories "other" and "separator", and the plain blank.
fn is_printable(c: char) -> bool {
    use GeneralCategory as G;
    if c.is_ascii() {
        return (' '..='~').contains(&c);
    }
    !matches!(
        c.general_category(),
        G::Control
            | G::Format
            | G::Surrogate
            | G::PrivateUse
            | G::Unassigned
            | G::LineSeparator
            | G::ParagraphSeparator
            | G::SpaceSeparator
    )
}

/// str.isspace() of one character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

#[cfg(test)]
mod tests {
    use super::float_text;

    #[test]
    fn floats_print_as_python_prints_them() {
        for (value, text) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (100.0, "100.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (9007199254740993.0, "9007199254740992.0"),
            (100000061209742.625, "100000061209742.62"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(float_text(value), text);
        }
    }
}
