//! A resource by its members, each byte for byte as the location wrote it. Of what Python writes (`NaN`, lone surrogates)
//! no tree of ours could hold everything, and such a value in one thing must not hide a whole list.

use std::borrow::Cow;

use bytes::Bytes;
use indexmap::IndexMap;
use serde_json::Value;
use serde_json::json;

use crate::api::json;
use crate::api::json::Malformed;
use crate::api::json::Reader;

/// Of a repeated member the last value, as Python's parser has it.
#[derive(Clone, Debug, Default)]
pub struct Resource(IndexMap<String, Bytes>);

impl Resource {
    pub fn read(body: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body)?;
        let mut members = IndexMap::new();
        reader.members(|reader, key| {
            let value = reader.value()?.of(body);
            let name = String::from_utf8_lossy(&key.name()).into_owned();
            members.insert(name, body.slice_ref(value));
            Ok(())
        })?;
        reader.end()?;
        Ok(Self(members))
    }

    pub fn raw(&self, name: &str) -> Option<&Bytes> {
        self.0.get(name)
    }

    /// The member, if it is a text and not empty.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        json::decode(self.raw(name)?).filter(|text| !text.is_empty())
    }

    /// Whether the member is this text.
    pub fn says(&self, name: &str, text: &str) -> bool {
        self.text(name).is_some_and(|said| said == text)
    }

    pub fn is_true(&self, name: &str) -> bool {
        self.raw(name).is_some_and(|raw| **raw == *b"true")
    }

    /// The elements of a list.
    pub fn elements(&self, name: &str) -> Option<Vec<Bytes>> {
        let list = self.raw(name)?;
        let mut found = Vec::new();
        let read = Reader::again(list).elements(|reader| {
            found.push(list.slice_ref(reader.value()?.of(list)));
            Ok(())
        });
        read.is_ok().then_some(found)
    }

    /// Those of them that are objects.
    pub fn resources(&self, name: &str) -> Vec<Self> {
        let elements = self.elements(name).into_iter().flatten();
        elements
            .filter_map(|element| Self::read(&element).ok())
            .collect()
    }

    /// `value` is JSON.
    pub fn set(&mut self, name: &str, value: impl Into<Bytes>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub fn set_text(&mut self, name: &str, text: &str) {
        self.set(name, format!("\"{}\"", json::escape(text)));
    }

    pub fn set_list<'e>(&mut self, name: &str, elements: impl IntoIterator<Item = &'e [u8]>) {
        let elements: Vec<&[u8]> = elements.into_iter().collect();
        let list = [b"[", &*elements.join(&b", "[..]), b"]"].concat();
        self.set(name, list);
    }

    /// The names of its members.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn members(&self) -> impl Iterator<Item = (&str, &Bytes)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Leaves only those members of which this holds.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &[u8]) -> bool) {
        self.0.retain(|name, value| keep(name, value));
    }

    pub fn remove(&mut self, name: &str) -> Option<Bytes> {
        self.0.shift_remove(name)
    }

    pub fn to_bytes(&self) -> Bytes {
        let mut out = vec![b'{'];
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(format!("\"{}\": ", json::escape(name)).as_bytes());
            out.extend_from_slice(value);
        }
        out.push(b'}');
        out.into()
    }
}

/// Stands for a value that no tree holds, as it is written.
const AS_WRITTEN: &str = "ironic_proxy_as_written";

/// A value to be compared and looked into, whatever Python wrote there.
pub fn tree(value: &Bytes) -> Value {
    if let Ok(tree) = serde_json::from_slice(value) {
        return tree;
    }
    if let Ok(object) = Resource::read(value) {
        let members = object.members();
        return members
            .map(|(name, value)| (name.to_owned(), tree(value)))
            .collect();
    }
    let mut elements = Vec::new();
    let read = Reader::again(value).elements(|reader| {
        elements.push(tree(&value.slice_ref(reader.value()?.of(value))));
        Ok(())
    });
    if read.is_ok() {
        return Value::Array(elements);
    }
    json!({ AS_WRITTEN: String::from_utf8_lossy(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_writes_stays_as_it_is() {
        let body = Bytes::from_static(
            br#"{"uuid":"u","extra": {"a": NaN, "b": 1e400, "c": "\ud800"}, "owner": "\ud800", "is": true, "no": "", "l": [{"a": -Infinity}, "\ud800", 1]}"#,
        );
        let mut resource = Resource::read(&body).unwrap();
        assert!(resource.says("uuid", "u") && resource.is_true("is"));
        for name in ["owner", "no", "l", "nosuch"] {
            assert_eq!(resource.text(name), None);
        }
        assert_eq!(resource.elements("l").unwrap().len(), 3);
        let [element] = &resource.resources("l")[..] else {
            panic!("{resource:?}");
        };
        assert_eq!(element.to_bytes(), r#"{"a": -Infinity}"#);
        resource.remove("no");
        resource.set_text("uuid", "\"");
        resource.set_list("l", [&b"1"[..], b"{}"]);
        assert_eq!(
            resource.to_bytes(),
            r#"{"uuid": "\"", "extra": {"a": NaN, "b": 1e400, "c": "\ud800"}, "owner": "\ud800", "is": true, "l": [1, {}]}"#
        );
        for broken in ["", "[]", "{", "{} x", r#"{"a": }"#] {
            assert!(Resource::read(&Bytes::from(broken)).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_tree_of_what_python_writes() {
        let read = |text: &'static str| tree(&Bytes::from_static(text.as_bytes()));
        assert_eq!(
            read(r#"{"a": [1, {"b": NaN}], "c": "x", "d": 1e400, "e": []}"#),
            json!({"a": [1, {"b": {AS_WRITTEN: "NaN"}}], "c": "x", "d": {AS_WRITTEN: "1e400"}, "e": []})
        );
        assert_eq!(read("[-Infinity]"), json!([{AS_WRITTEN: "-Infinity"}]));
        assert_ne!(read("NaN"), read("Infinity"));
        assert_eq!(read(r#"{"a": 1}"#), json!({"a": 1}));
    }
}
