//! `$option` and `${section.option}` in values, like Python's `string.Template` in oslo.config.

/// Replaces every name in `text` by what `lookup` says. `$$` and `\$` are a plain `$`; a `$` that
/// no name follows stays as it is.
pub(crate) fn expand<E>(
    text: &str,
    mut lookup: impl FnMut(&str) -> Result<String, E>,
) -> Result<String, E> {
    // oslo.config does so before its template sees the text, since people write `\$`.
    let text = text.replace("\\$", "$$");
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((plain, after)) = rest.split_once('$') {
        expanded.push_str(plain);
        if let Some(escaped) = after.strip_prefix('$') {
            expanded.push('$');
            rest = escaped;
        } else if let Some((name, behind)) = reference(after) {
            expanded.push_str(&lookup(name)?);
            rest = behind;
        } else {
            expanded.push('$');
            rest = after;
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The name right after a `$`, and what follows it.
fn reference(text: &str) -> Option<(&str, &str)> {
    match text.strip_prefix('{') {
        None => name(text),
        Some(braced) => {
            let (name, rest) = name(braced)?;
            Some((name, rest.strip_prefix('}')?))
        }
    }
}

fn name(text: &str) -> Option<(&str, &str)> {
    let inside = |c: char| c == '_' || c == '.' || c.is_ascii_alphanumeric();
    let (name, rest) = text.split_at(text.find(|c| !inside(c)).unwrap_or(text.len()));
    let starts = name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic());
    starts.then_some((name, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_dollars_escaped() {
        for (text, expected) in [
            ("pa$$w0rd", Ok("pa$w0rd")),
            ("pa\\$w0rd", Ok("pa$w0rd")),
            ("pass$", Ok("pass$")),
            ("a$1abc", Ok("a$1abc")),
            ("a${group:l.o}b", Ok("a${group:l.o}b")),
            ("${o", Ok("${o")),
            ("${}", Ok("${}")),
            ("$$$$", Ok("$$")),
            ("$$o", Ok("$o")),
            ("$$$o", Ok("$<o>")),
            ("x${o}y", Ok("x<o>y")),
            ("$o-p", Ok("<o>-p")),
            ("${h.o}$_p9", Ok("<h.o><_p9>")),
            ("$o.b", Ok("<o.b>")),
            ("100%(o)s", Ok("100%(o)s")),
            ("$zz", Err("zz")),
            ("pa$w0rd", Err("w0rd")),
        ] {
            let expanded = expand(text, |name| match name {
                "zz" | "w0rd" => Err(name.to_owned()),
                _ => Ok(format!("<{name}>")),
            });
            let expected = expected.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(expanded, expected, "{text}");
        }
    }
}
