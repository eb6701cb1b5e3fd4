//! Request bodies whose contents decide where they go: objects and patches. They are parsed once and sent
//! re-serialised, so that the gateway and Ironic cannot read them differently. Values that do not matter here stay
//! byte for byte.

use std::fmt;

use bytes::Bytes;
use indexmap::IndexMap;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::value::RawValue;
use serde_json::value::to_raw_value;
use thiserror::Error;

/// Why a body is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum BodyError {
    /// The parser's own words: line, column, what it expected.
    #[error("Invalid JSON in the request body: {0}")]
    Json(String),
    /// In the words of Python's `jsonschema`.
    #[error("Schema error for {what}: {found} is not of type '{wanted}'")]
    Type {
        what: &'static str,
        found: String,
        wanted: &'static str,
    },
    /// JSON to Python alone.
    #[error(
        "Invalid JSON in the request body: the value at byte {0} is a number too large, NaN, Infinity, or a text with half \
         a character (a lone surrogate such as \"\\ud800\")"
    )]
    Unheld(u32),
    #[error("Schema error for patch: '{0}' is a required property")]
    Missing(&'static str),
    #[error("Schema error for patch: {0} is not one of ['add', 'replace', 'remove']")]
    Operation(String),
    #[error("Schema error for patch: Additional properties are not allowed ({0} unexpected)")]
    Additional(String),
}

/// The members of a JSON object in their order; of a repeated one the last value, as Python's parser has it.
#[derive(Clone, Debug, Default)]
pub struct Object(IndexMap<String, Box<RawValue>>);

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
                // A MiB holds 120,000 members: looking through all of them for each would take minutes.
                while let Some((name, value)) = map.next_entry()? {
                    object.0.insert(name, value);
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Object {
    /// `what` is Ironic's word for the thing in its own schema errors. An empty body is an empty object.
    pub fn parse(what: &'static str, body: &[u8]) -> Result<Self, BodyError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        parse(body)?.ok_or_else(|| BodyError::Type {
            what,
            found: printed(body),
            wanted: "object",
        })
    }

    fn raw(&self, name: &str) -> Option<&RawValue> {
        self.0.get(name).map(|value| &**value)
    }

    pub fn value(&self, name: &str) -> Value {
        self.raw(name).map_or(Value::Absent, Value::of)
    }

    /// The member, if it is a string.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.value(name) {
            Value::Text(text) => Some(text),
            Value::Absent | Value::Null | Value::Other => None,
        }
    }

    /// The member, if it is a list of strings.
    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    /// Whether Python would take the member for true.
    pub fn is_true(&self, name: &str) -> bool {
        match self.json(name) {
            None | Some(serde_json::Value::Null) => false,
            Some(serde_json::Value::Bool(value)) => value,
            Some(serde_json::Value::Number(number)) => number.as_f64() != Some(0.0),
            Some(serde_json::Value::String(text)) => !text.is_empty(),
            Some(serde_json::Value::Array(items)) => !items.is_empty(),
            Some(serde_json::Value::Object(members)) => !members.is_empty(),
        }
    }

    /// The whole of a member.
    pub fn json(&self, name: &str) -> Option<serde_json::Value> {
        serde_json::from_str(self.raw(name)?.get()).ok()
    }

    pub fn contains(&self, name: &str) -> bool {
        self.raw(name).is_some()
    }

    pub fn set<T: serde::Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        // What we set is text or a list of texts, which always serialises.
        if let Ok(raw) = to_raw_value(value) {
            self.0.insert(name.to_owned(), raw);
        }
    }

    pub fn remove(&mut self, name: &str) {
        self.0.shift_remove(name);
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(
                serde_json::Value::from(name.as_str())
                    .to_string()
                    .as_bytes(),
            );
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.get().as_bytes());
        }
        out.push(b'}');
    }

    pub fn to_bytes(&self) -> Bytes {
        let mut out = Vec::new();
        self.write(&mut out);
        out.into()
    }
}

/// What a member says, as far as routing needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Absent,
    Null,
    Text(String),
    /// A number, boolean, list or object: Ironic will refuse it.
    Other,
}

impl Value {
    fn of(raw: &RawValue) -> Self {
        match serde_json::from_str::<Option<String>>(raw.get()) {
            Ok(None) => Self::Null,
            Ok(Some(text)) => Self::Text(text),
            Err(_) => Self::Other,
        }
    }
}

/// A JSON patch (RFC 6902, the operations that Ironic has: add, replace, remove).
#[derive(Clone, Debug)]
pub struct Patch(Vec<Object>);

impl Patch {
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let wrong = |found, wanted| BodyError::Type {
            what: "patch",
            found,
            wanted,
        };
        let operations: Vec<Box<RawValue>> =
            parse(body)?.ok_or_else(|| wrong(printed(body), "array"))?;
        let operation = |raw: Box<RawValue>| {
            let text = raw.get().as_bytes();
            let object: Object = parse(text)?.ok_or_else(|| wrong(printed(text), "object"))?;
            for name in ["path", "op"] {
                match object.raw(name) {
                    None => return Err(BodyError::Missing(name)),
                    Some(value) if object.text(name).is_none() => {
                        return Err(wrong(printed(value.get().as_bytes()), "string"));
                    }
                    Some(_) => {}
                }
            }
            // RFC 6902 has more; `ironic.common.args.patch` has not.
            if let Some("add" | "replace" | "remove") = object.text("op").as_deref() {
                return Ok(object);
            }
            // jsonschema finds these before it looks at `op`; a `move` always has one.
            let further: Vec<_> = object
                .names()
                .filter(|name| !["op", "path", "value"].contains(name))
                .map(|name| format!("'{name}'"))
                .collect();
            if !further.is_empty() {
                let were = if further.len() == 1 { "was" } else { "were" };
                let names = further.join(", ");
                return Err(BodyError::Additional(format!("{names} {were}")));
            }
            let op = object.raw("op").map(|op| printed(op.get().as_bytes()));
            Err(BodyError::Operation(op.unwrap_or_default()))
        };
        operations
            .into_iter()
            .map(operation)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether each operation is of the form that Ironic takes, and within one of these objects of free contents.
    pub fn is_within(&self, objects: &[&str]) -> bool {
        self.0.iter().all(|operation| {
            let path = operation.text("path").unwrap_or_default();
            let is_within = objects.iter().any(|object| {
                path.strip_prefix(object)
                    .is_some_and(|rest| rest.starts_with('/') && rest[1..].split('/').all(is_step))
            });
            is_within
                && operation
                    .names()
                    .all(|name| ["op", "path", "value"].contains(&name))
        })
    }

    /// Operations on exactly this path. Python's `$` lets a trailing newline through Ironic's pattern for paths.
    fn operations_on<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a Object> {
        self.0.iter().filter(move |operation| {
            operation
                .text("path")
                .is_some_and(|named| named.trim_end_matches('\n') == path)
        })
    }

    /// What `path` is once the whole patch is applied; `Absent`: the patch leaves it alone.
    pub fn outcome(&self, path: &str) -> Value {
        self.operations_on(path)
            .last()
            .map_or(Value::Absent, |operation| {
                match operation.text("op").as_deref() {
                    Some("remove") => Value::Null,
                    Some("add" | "replace") => match operation.value("value") {
                        Value::Absent => Value::Null,
                        value => value,
                    },
                    _ => Value::Other,
                }
            })
    }

    /// Whether it says what `path` is to be, and not only that it is not to be (Ironic's `get_patch_values`).
    pub fn sets(&self, path: &str) -> bool {
        self.operations_on(path)
            .any(|operation| operation.text("op").as_deref() != Some("remove"))
    }

    /// Ironic 39 answers 500 to `remove` and null of a conductor group: both are said as `replace` with the empty text.
    pub fn spell_out_removal(&mut self, path: &str) {
        for operation in &mut self.0 {
            let removes = operation.text("op").as_deref() == Some("remove")
                || matches!(operation.value("value"), Value::Null);
            if operation.text("path").as_deref() == Some(path) && removes {
                operation.set("op", "replace");
                operation.set("value", "");
            }
        }
    }

    /// Gives the texts that are put at a path another name.
    pub fn rename(&mut self, path: &str, name: impl Fn(&str) -> String) {
        for operation in &mut self.0 {
            let is_there = operation
                .text("path")
                .is_some_and(|named| named.trim_end_matches('\n') == path);
            if is_there && let Some(value) = operation.text("value") {
                operation.set("value", &name(&value));
            }
        }
    }

    /// Every text that the patch gives to `path`. Of several Ironic takes the last one for most members, and the first one
    /// for the parent of a node (`get_patch_values(…)[0]` of `ironic/api/controllers/v1/node.py`).
    pub fn texts(&self, path: &str) -> Vec<String> {
        let operations = self.operations_on(path);
        operations
            .filter_map(|operation| operation.text("value"))
            .collect()
    }

    /// What the patch touches, and the values it gives.
    pub fn changes(&self) -> Vec<(String, Option<serde_json::Value>)> {
        let value = |operation: &Object| serde_json::from_str(operation.raw("value")?.get()).ok();
        self.0
            .iter()
            .filter_map(|operation| Some((operation.text("path")?, value(operation))))
            .collect()
    }

    pub fn to_bytes(&self) -> Bytes {
        let mut out = vec![b'['];
        for (index, operation) in self.0.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            operation.write(&mut out);
        }
        out.push(b']');
        out.into()
    }
}

/// One step of a path, by the plainer part of Ironic's pattern for patches, `[\w-]+`.
fn is_step(step: &str) -> bool {
    !step.is_empty()
        && step
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// A JSON value as Python shows it.
pub fn python(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => "None".to_owned(),
        serde_json::Value::Bool(true) => "True".to_owned(),
        serde_json::Value::Bool(false) => "False".to_owned(),
        serde_json::Value::Number(number) => number.to_string(),
        serde_json::Value::String(text) if text.contains('\'') && !text.contains('"') => {
            format!("\"{text}\"")
        }
        serde_json::Value::String(text) => {
            format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
        }
        serde_json::Value::Array(items) => {
            format!(
                "[{}]",
                items.iter().map(python).collect::<Vec<_>>().join(", ")
            )
        }
        serde_json::Value::Object(members) => {
            let member = |(name, value)| {
                format!(
                    "{}: {}",
                    python(&serde_json::Value::from(String::clone(name))),
                    python(value)
                )
            };
            format!(
                "{{{}}}",
                members.iter().map(member).collect::<Vec<_>>().join(", ")
            )
        }
    }
}

/// The same of a body.
fn printed(body: &[u8]) -> String {
    serde_json::from_slice(body)
        .map_or_else(|_| "the request body".to_owned(), |value| python(&value))
}

/// `None`: JSON, but of another type.
fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<Option<T>, BodyError> {
    match serde_json::from_slice(body) {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_data() => Ok(None),
        Err(error) => Err(BodyError::Json(error.to_string())),
    }
}

/// The depth of nesting never exceeds `limit`; brackets within strings do not count. Iterative, so that a hostile body
/// cannot exhaust the stack, and it does not mind broken JSON: that is for the parser to say.
#[derive(Clone, Debug, Default)]
pub struct DepthGauge {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl DepthGauge {
    /// Feeds the next part of a body; false once it is nested more deeply than `limit`.
    pub fn within(&mut self, part: &[u8], limit: usize) -> bool {
        for &byte in part {
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if self.depth > limit {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
