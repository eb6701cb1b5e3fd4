//! One page of several locations' lists, as it is written: in parts, each made when it is sent.
//!
//! The items stay where the locations' answers hold them until then. Writing all of them to a buffer first took as much
//! memory again as the page has, and a pass over memory that no cache holds any longer.

use std::sync::Arc;
use std::vec;

use bytes::Bytes;
use bytes::BytesMut;

use crate::api::json;
use crate::api::link::Base;
use crate::api::link::Mask;
use crate::api::page::Item;
use crate::api::page::Page;

/// An item, and the page of a location that it is on.
#[derive(Clone, Debug)]
pub struct Taken {
    page: Arc<Page>,
    index: usize,
}

impl Taken {
    /// All items of a page.
    pub fn all(page: &Arc<Page>) -> impl Iterator<Item = Self> {
        let of = |index| Self {
            page: Arc::clone(page),
            index,
        };
        (0..page.len()).map(of)
    }

    /// An item by itself, free of the page that it was on.
    pub fn alone(item: &Item<'_>) -> Self {
        Self {
            page: Arc::new(item.alone()),
            index: 0,
        }
    }

    pub fn item(&self) -> Item<'_> {
        self.page.at(self.index)
    }
}

/// An item as it is shown.
#[derive(Clone, Debug)]
struct Row {
    taken: Taken,
    masks: Vec<Mask>,
}

impl Row {
    fn each(&self, to: &Base, part: impl FnMut(&[u8])) {
        self.taken.item().each_masked(to, &self.masks, part);
    }
}

/// `{"nodes": [{…}, {…}], "next": "…"}`, as Ironic writes it.
#[derive(Clone, Debug)]
pub struct MergedPage {
    key: Box<str>,
    rows: Vec<Row>,
    /// Where links point.
    to: Base,
    /// The whole URL of the next page.
    next: Option<String>,
    /// With the next page in another word too, `nodes_links` of `nodes`, which gophercloud reads.
    is_linked: bool,
}

impl MergedPage {
    pub fn new(key: &str, to: Base, items: impl IntoIterator<Item = Taken>) -> Self {
        let of = |taken| Row {
            taken,
            masks: Vec::new(),
        };
        Self {
            key: key.into(),
            rows: items.into_iter().map(of).collect(),
            to,
            next: None,
            is_linked: false,
        }
    }

    #[must_use]
    pub fn with_next(self, next: Option<String>) -> Self {
        Self { next, ..self }
    }

    #[must_use]
    pub fn linked(self, is_linked: bool) -> Self {
        Self { is_linked, ..self }
    }

    pub fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    pub fn items(&self) -> impl ExactSizeIterator<Item = Item<'_>> + DoubleEndedIterator {
        self.rows.iter().map(|row| row.taken.item())
    }

    /// Hides parts of each item, one after the other.
    pub fn mask(&mut self, masks: Vec<Vec<Mask>>) {
        for (row, masks) in self.rows.iter_mut().zip(masks) {
            row.masks = masks;
            row.masks.sort_unstable_by_key(Mask::start);
        }
    }

    fn head(&self) -> String {
        // With the blanks that Python's `json.dumps` puts between (`ironic/api/method.py`).
        format!("{{\"{}\": [", json::escape(&self.key))
    }

    fn tail(&self) -> String {
        let Some(next) = &self.next else {
            return "]}".to_owned();
        };
        let next = json::escape(next);
        let links = if self.is_linked {
            let key = json::escape(&self.key);
            format!(", \"{key}_links\": [{{\"rel\": \"next\", \"href\": \"{next}\"}}]")
        } else {
            String::new()
        };
        format!("], \"next\": \"{next}\"{links}}}")
    }

    /// How many bytes are written.
    pub fn length(&self) -> usize {
        let mut length = self.head().len() + self.tail().len();
        length += BETWEEN.len() * self.rows.len().saturating_sub(1);
        for row in &self.rows {
            row.each(&self.to, |part| length += part.len());
        }
        length
    }

    /// All of it.
    pub fn to_bytes(&self) -> Bytes {
        let length = self.length();
        self.clone().into_parts(length).next().unwrap_or_default()
    }

    /// What is written, `size` bytes at a time.
    pub fn into_parts(self, size: usize) -> Parts {
        let mut out = BytesMut::with_capacity(size + ITEM);
        out.extend_from_slice(self.head().as_bytes());
        Parts {
            size,
            source: Source::Rows(Rows {
                tail: Some(self.tail()),
                left: self.rows.into_iter(),
                is_first: true,
                to: self.to,
                out,
            }),
        }
    }
}

const BETWEEN: &str = ", ";
/// What begins within a part is written whole, and what is too much of it waits for the next one. Most items are shorter.
const ITEM: usize = 16 << 10;

/// What is sent, as it leaves.
#[derive(Debug)]
pub struct Parts {
    size: usize,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Rows(Rows),
}

/// A page half written. What a location's page holds is given back when its last item is written.
#[derive(Debug)]
struct Rows {
    left: vec::IntoIter<Row>,
    is_first: bool,
    to: Base,
    /// Written, and not yet handed out.
    out: BytesMut,
    /// `None`: it is written too.
    tail: Option<String>,
}

impl Parts {
    pub fn of(bytes: Bytes, size: usize) -> Self {
        Self {
            size,
            source: Source::Whole(bytes),
        }
    }

    pub fn is_over(&self) -> bool {
        match &self.source {
            Source::Whole(bytes) => bytes.is_empty(),
            Source::Rows(rows) => rows.tail.is_none() && rows.out.is_empty(),
        }
    }
}

impl Iterator for Parts {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.is_over() {
            return None;
        }
        let part = match &mut self.source {
            Source::Whole(bytes) => bytes.split_to(bytes.len().min(self.size)),
            Source::Rows(rows) => {
                // The memory of the part before, once that was sent. Growing bit by bit copied all of a list once more.
                let room = self.size + ITEM;
                rows.out.reserve(room.saturating_sub(rows.out.len()));
                while rows.out.len() < self.size && rows.write() {}
                let length = rows.out.len().min(self.size);
                rows.out.split_to(length).freeze()
            }
        };
        (!part.is_empty()).then_some(part)
    }
}

impl Rows {
    /// Writes what comes next. `false`: that was all.
    fn write(&mut self) -> bool {
        let out = &mut self.out;
        if let Some(row) = self.left.next() {
            if !self.is_first {
                out.extend_from_slice(BETWEEN.as_bytes());
            }
            self.is_first = false;
            row.each(&self.to, |part| out.extend_from_slice(part));
            return true;
        }
        match self.tail.take() {
            Some(tail) => out.extend_from_slice(tail.as_bytes()),
            None => return false,
        }
        true
    }
}
