//! The value of an option: as written or its default, with references to other options replaced.

use crate::oslo::interpolate::expand;
use crate::oslo::layers::Sections;
use crate::oslo::option::Opt;
use crate::oslo::option::Schema;

/// A text, and the name it was written by; a default has none.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) text: String,
    pub(crate) spelling: Option<&'static str>,
}

/// Why the names in a text cannot be replaced.
#[derive(Debug)]
pub(crate) enum Unresolved {
    Unknown(String),
    Secret(String),
    Circle(String),
}

impl Unresolved {
    /// What to tell the operator of `option`.
    pub(crate) fn text(self, option: &Opt) -> String {
        match self {
            // The name may be half of a password.
            _ if option.secret => {
                "a $ in it refers to no option; a plain $ is written $$".to_owned()
            }
            Self::Unknown(name) => {
                format!("`${name}` refers to no option; a plain $ is written $$")
            }
            Self::Secret(name) => format!("`${name}` is a secret and this option is none"),
            Self::Circle(name) => format!("`${name}` refers to itself"),
        }
    }
}

/// `None` if the option is neither written nor has a default.
pub(crate) fn value(
    schema: &Schema,
    sections: &Sections,
    section: &str,
    option: &Opt,
) -> Result<Option<Value>, Unresolved> {
    let start = (section.to_owned(), option.name);
    resolve(schema, sections, section, option, &mut vec![start])
}

/// The text as written, and by which name: the present spelling goes before older ones.
pub(crate) fn written<'a>(
    sections: &'a Sections,
    section: &str,
    option: &Opt,
) -> Option<(&'static str, &'a str)> {
    std::iter::once(option.name)
        .chain(option.aliases.iter().copied())
        .find_map(|name| Some((name, sections.text(section, name)?)))
}

fn resolve(
    schema: &Schema,
    sections: &Sections,
    section: &str,
    option: &Opt,
    path: &mut Vec<(String, &'static str)>,
) -> Result<Option<Value>, Unresolved> {
    let Some((name, text)) = written(sections, section, option) else {
        return Ok(option.default.map(|text| Value {
            text: text.to_owned(),
            spelling: None,
        }));
    };
    let text = expand(text, |reference| {
        let (section, target) = referenced(schema, sections, section, reference)
            .ok_or_else(|| Unresolved::Unknown(reference.to_owned()))?;
        if target.secret && !option.secret {
            return Err(Unresolved::Secret(reference.to_owned()));
        }
        let step = (section.to_owned(), target.name);
        if path.contains(&step) {
            return Err(Unresolved::Circle(reference.to_owned()));
        }
        path.push(step);
        let value = resolve(schema, sections, section, target, path)?;
        // A name may stand in a text twice; only one that leads back to itself is a circle.
        path.pop();
        Ok(value.map(|value| value.text).unwrap_or_default())
    })?;
    Ok(Some(Value {
        text,
        spelling: Some(name),
    }))
}

/// `$name` is an option of the same section, else of `[DEFAULT]`; `$a.b` is option b of `[a]`.
fn referenced<'a>(
    schema: &Schema,
    sections: &Sections,
    section: &'a str,
    name: &'a str,
) -> Option<(&'a str, &'static Opt)> {
    match name.split_once('.') {
        Some((section, name)) => {
            let known = schema.is_section(section) || sections.header(section).is_some();
            known.then_some((section, schema.find(section, name)?))
        }
        None => schema
            .find(section, name)
            .map(|option| (section, option))
            .or_else(|| Some(("DEFAULT", schema.find("DEFAULT", name)?))),
    }
}
