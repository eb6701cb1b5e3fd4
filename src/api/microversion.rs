//! Microversions of the Bare Metal API: which one a client asks for, and which all locations have.
//!
//! Rules of `ironic/api/controllers/base.py` (`Version.parse_headers`) and `ironic/api/controllers/v1/__init__.py`.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use http::HeaderMap;
use http::HeaderValue;
use serde::Deserialize;
use serde::Serialize;
use thiserror::Error;

use crate::api::header;

/// `major.minor`, compared as a pair of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Microversion {
    pub major: i64,
    pub minor: i64,
}

impl Microversion {
    pub const fn new(major: i64, minor: i64) -> Self {
        Self { major, minor }
    }

    pub fn to_header(self) -> HeaderValue {
        let minor = usize::try_from(self.minor).ok().filter(|_| self.major == 1);
        let known = minor.and_then(|minor| SPELLED.get(minor).cloned());
        known.unwrap_or_else(|| self.spell())
    }

    fn spell(self) -> HeaderValue {
        // Digits and a point.
        HeaderValue::try_from(self.to_string()).unwrap_or_else(|_| unreachable!())
    }
}

/// `1.0` and so on, spelled once: every answer has three of them, and each costs 800 instructions to write.
static SPELLED: LazyLock<Vec<HeaderValue>> = LazyLock::new(|| {
    let minors = 0..256;
    minors
        .map(|minor| Microversion::new(1, minor).spell())
        .collect()
});

impl fmt::Display for Microversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text is not `major.minor`.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("expected MAJOR.MINOR, such as 1.89")]
pub struct NotAMicroversion;

impl FromStr for Microversion {
    type Err = NotAMicroversion;

    /// Leading zeros, signs and blanks are fine, as with Python's `int()`.
    fn from_str(text: &str) -> Result<Self, NotAMicroversion> {
        let number = |part: &str| {
            let digits = part.trim();
            digits.parse::<i64>().map_err(|_| NotAMicroversion)
        };
        // `1.2.3` fails below: `2.3` is no number. Python raises there, too (`Version.parse_headers`).
        let (major, minor) = text.split_once('.').ok_or(NotAMicroversion)?;
        Ok(Self {
            major: number(major)?,
            minor: number(minor)?,
        })
    }
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    /// No version header: Ironic serves its minimum.
    Unversioned,
    Latest,
    Exactly(Microversion),
    Invalid,
}

impl Requested {
    /// `OpenStack-API-Version: baremetal X.Y` goes before `X-OpenStack-Ironic-API-Version: X.Y`;
    /// in either the last entry wins, and an empty one is none.
    pub fn from_headers(headers: &HeaderMap) -> Self {
        let standard = headers
            .get_all(header::OPENSTACK_API_VERSION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|entry| {
                let (service, version) = entry.trim().split_once(char::is_whitespace)?;
                service
                    .eq_ignore_ascii_case("baremetal")
                    .then(|| version.trim())
            })
            .next_back();
        // microversion_parse asks for the standard header first, and for the legacy one only if that says nothing.
        let version = standard.filter(|version| !version.is_empty()).or_else(|| {
            headers
                .get_all(header::API_VERSION)
                .iter()
                .map(|value| value.to_str().unwrap_or("unreadable"))
                .flat_map(|value| value.split(','))
                .last()
        });
        match version.map(str::trim) {
            None | Some("") => Self::Unversioned,
            Some(latest) if latest.eq_ignore_ascii_case("latest") => Self::Latest,
            Some(text) => text.parse().map_or(Self::Invalid, Self::Exactly),
        }
    }
}

/// An inclusive range that is never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionRange {
    min: Microversion,
    max: Microversion,
}

/// Why a version is refused, in Ironic's words.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum NotAcceptable {
    #[error(
        "Version {requested} was requested but the minor version is not supported by this service. \
         The supported version range is: [{}, {}].", range.min, range.max
    )]
    Minor {
        requested: Microversion,
        range: VersionRange,
    },
    #[error(
        "Mutually exclusive versions requested. Version {requested} requested but not supported by this service. \
         The supported version range is: [{}, {}].", range.min, range.max
    )]
    Major {
        requested: Microversion,
        range: VersionRange,
    },
    #[error("Invalid value for X-OpenStack-Ironic-API-Version header")]
    Invalid,
}

impl VersionRange {
    /// `None` if `min` is above `max`.
    pub fn new(min: Microversion, max: Microversion) -> Option<Self> {
        (min <= max).then_some(Self { min, max })
    }

    pub fn min(self) -> Microversion {
        self.min
    }

    pub fn max(self) -> Microversion {
        self.max
    }

    /// What both serve, if anything.
    pub fn intersect(self, other: Self) -> Option<Self> {
        Self::new(self.min.max(other.min), self.max.min(other.max))
    }

    /// The one version to speak for a request.
    pub fn resolve(self, requested: Requested) -> Result<Microversion, NotAcceptable> {
        match requested {
            Requested::Unversioned => Ok(self.min),
            Requested::Latest => Ok(self.max),
            Requested::Invalid => Err(NotAcceptable::Invalid),
            Requested::Exactly(version) if version.major != self.max.major => {
                Err(NotAcceptable::Major {
                    requested: version,
                    range: self,
                })
            }
            Requested::Exactly(version) if version < self.min || version > self.max => {
                Err(NotAcceptable::Minor {
                    requested: version,
                    range: self,
                })
            }
            Requested::Exactly(version) => Ok(version),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderName;
    use http::HeaderValue;

    use super::*;

    fn range(min: i64, max: i64) -> VersionRange {
        VersionRange::new(Microversion::new(1, min), Microversion::new(1, max)).unwrap()
    }

    #[test]
    fn requested_version() {
        let exactly = |minor| Requested::Exactly(Microversion::new(1, minor));
        let legacy = "x-openstack-ironic-api-version";
        let standard = "openstack-api-version";
        let cases: &[(&[(&str, &str)], Requested)] = &[
            (&[], Requested::Unversioned),
            (&[(legacy, "")], Requested::Unversioned),
            (&[(legacy, " 1.50 ")], exactly(50)),
            (&[(legacy, "1.050")], exactly(50)),
            (&[(legacy, "1.10, 1.20")], exactly(20)),
            (&[(legacy, "LATEST")], Requested::Latest),
            (&[(legacy, "1")], Requested::Invalid),
            (&[(legacy, "1.2.3")], Requested::Invalid),
            (&[(legacy, "abc")], Requested::Invalid),
            (&[(legacy, "1.-1")], exactly(-1)),
            (&[(legacy, "1.99999999999")], exactly(99_999_999_999)),
            (&[(standard, "baremetal 1.46")], exactly(46)),
            (&[(standard, "compute 2.1, BareMetal 1.46")], exactly(46)),
            (&[(standard, "baremetal 1.46, baremetal 1.47")], exactly(47)),
            (
                &[(standard, "baremetal 1.46"), (standard, "baremetal 1.48")],
                exactly(48),
            ),
            (&[(standard, "compute 2.1")], Requested::Unversioned),
            (
                &[(standard, "baremetal 1.46"), (legacy, "1.20")],
                exactly(46),
            ),
            (&[(standard, "compute 2.1"), (legacy, "1.20")], exactly(20)),
            (&[(standard, "baremetal latest")], Requested::Latest),
        ];
        for (headers, expected) in cases {
            let mut map = HeaderMap::new();
            for (name, value) in *headers {
                map.append(
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                );
            }
            assert_eq!(Requested::from_headers(&map), *expected, "{headers:?}");
        }
    }

    #[test]
    fn resolve_within_the_range() {
        let range = range(1, 82);
        let exactly = |major, minor| Requested::Exactly(Microversion::new(major, minor));
        assert_eq!(
            range.resolve(Requested::Unversioned),
            Ok(Microversion::new(1, 1))
        );
        assert_eq!(
            range.resolve(Requested::Latest),
            Ok(Microversion::new(1, 82))
        );
        assert_eq!(range.resolve(exactly(1, 82)), Ok(Microversion::new(1, 82)));
        let text = |requested| range.resolve(requested).unwrap_err().to_string();
        assert_eq!(
            text(exactly(1, 83)),
            "Version 1.83 was requested but the minor version is not supported by this service. \
             The supported version range is: [1.1, 1.82]."
        );
        assert_eq!(
            text(exactly(1, 0)),
            text(exactly(1, 83)).replace("1.83", "1.0")
        );
        assert_eq!(
            text(exactly(2, 0)),
            "Mutually exclusive versions requested. Version 2.0 requested but not supported by this service. \
             The supported version range is: [1.1, 1.82]."
        );
        assert_eq!(
            text(Requested::Invalid),
            "Invalid value for X-OpenStack-Ironic-API-Version header"
        );
    }

    #[test]
    fn intersection_may_be_empty() {
        assert_eq!(range(1, 82).intersect(range(1, 115)), Some(range(1, 82)));
        assert_eq!(range(1, 38).intersect(range(46, 115)), None);
    }
}
