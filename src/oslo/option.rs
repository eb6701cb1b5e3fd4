//! The options of a program: in tables, in sections.

/// One option, as oslo.config knows it.
#[derive(Debug)]
pub(crate) struct Opt {
    pub(crate) name: &'static str,
    /// As it would be written; `None` is unset.
    pub(crate) default: Option<&'static str>,
    /// One sentence for an operator.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "read by the test that holds the sample to it")
    )]
    pub(crate) help: &'static str,
    /// Older spellings, read with a warning.
    pub(crate) aliases: &'static [&'static str],
    /// Its value is never shown.
    pub(crate) secret: bool,
    pub(crate) stance: Stance,
}

/// What becomes of an option that is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stance {
    Honoured,
    /// Read by others of a cloud's programs, without meaning here.
    Ignored,
    /// The same for a whole group of options, which is said once: the text says whose they are.
    Elsewhere(&'static str),
    /// Other values than these promise something that nobody here does; the text says what there is instead.
    Refused(&'static [&'static str], &'static str),
}

pub(crate) const fn opt(name: &'static str, default: &'static str, help: &'static str) -> Opt {
    Opt {
        default: Some(default),
        ..unset(name, help)
    }
}

pub(crate) const fn unset(name: &'static str, help: &'static str) -> Opt {
    Opt {
        name,
        default: None,
        help,
        aliases: &[],
        secret: false,
        stance: Stance::Honoured,
    }
}

pub(crate) const fn ignored(name: &'static str) -> Opt {
    Opt {
        stance: Stance::Ignored,
        ..unset(name, "Accepted and ignored.")
    }
}

pub(crate) const fn elsewhere(name: &'static str, whose: &'static str) -> Opt {
    Opt {
        stance: Stance::Elsewhere(whose),
        ..unset(name, "")
    }
}

/// `harmless` are the values, in lower case, that promise nothing; so does none at all.
pub(crate) const fn refused(
    name: &'static str,
    harmless: &'static [&'static str],
    instead: &'static str,
) -> Opt {
    Opt {
        stance: Stance::Refused(harmless, instead),
        ..unset(name, "")
    }
}

impl Opt {
    /// Whether it has a meaning here.
    pub(crate) fn is_honoured(&self) -> bool {
        matches!(self.stance, Stance::Honoured)
    }

    pub(crate) const fn hidden(self) -> Self {
        Self {
            secret: true,
            ..self
        }
    }

    pub(crate) const fn or(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }
}

/// The options of a section, in the tables that several sections share.
pub(crate) type Tables = &'static [&'static [Opt]];

/// Every section and option of a program.
#[derive(Debug)]
pub(crate) struct Schema {
    /// What its files are called.
    pub(crate) program: &'static str,
    /// Each section with its options.
    pub(crate) sections: &'static [(&'static str, Tables)],
    /// The one of `sections` that stands for every section whose name begins like this.
    pub(crate) prefix: &'static str,
    /// Sections of the programs that share a file with us, without meaning here.
    pub(crate) foreign: &'static [&'static str],
    /// What a section of any other name may hold, because keystoneauth's `auth_section` can name it.
    pub(crate) anywhere: Tables,
}

impl Schema {
    /// Whether a section of this name has a meaning of its own.
    pub(crate) fn is_section(&self, name: &str) -> bool {
        name.starts_with(self.prefix) || self.sections.iter().any(|(known, _)| *known == name)
    }

    /// The options of a section.
    pub(crate) fn of(&self, section: &str) -> impl Iterator<Item = &'static Opt> {
        let kind = if section.starts_with(self.prefix) {
            self.prefix
        } else {
            section
        };
        let tables = self.sections.iter().find(|(name, _)| *name == kind);
        tables
            .map_or(self.anywhere, |(_, tables)| tables)
            .iter()
            .flat_map(|table| table.iter())
    }

    /// The option of that name, older spellings excluded.
    pub(crate) fn find(&self, section: &str, name: &str) -> Option<&'static Opt> {
        self.of(section).find(|option| option.name == name)
    }

    /// The option to read. An `auth_section` can name any section, so a credential can be in each.
    pub(crate) fn readable(&self, section: &str, name: &str) -> Option<&'static Opt> {
        let anywhere = self.anywhere.iter().flat_map(|table| table.iter());
        self.find(section, name)
            .or_else(|| anywhere.into_iter().find(|option| option.name == name))
    }

    /// The option of that name, older spellings included.
    pub(crate) fn find_spelling(&self, section: &str, name: &str) -> Option<&'static Opt> {
        self.find(section, name).or_else(|| {
            self.of(section)
                .find(|option| option.aliases.contains(&name))
        })
    }
}
