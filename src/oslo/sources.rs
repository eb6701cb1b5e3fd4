//! Which files make up the configuration, and in which order.

use std::io;
use std::path::Path;
use std::path::PathBuf;

/// One `--config-file` or `--config-dir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file; must be there.
    File(PathBuf),
    /// A directory; must be there. Its `*.conf` are read in alphabetical order, hidden ones and
    /// those of its own directories are not.
    Directory(PathBuf),
}

/// Options of one section that stand in no file of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Where they are from, for people.
    pub place: String,
    pub section: String,
    /// Names and values, as they are meant: nothing in a value is a reference.
    pub options: Vec<(String, String)>,
}

/// What to read, first to last; the last value of an option wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    list: Vec<Source>,
    given: Vec<Given>,
}

impl Sources {
    /// Exactly these.
    pub fn new(list: Vec<Source>) -> Self {
        Self {
            list,
            given: Vec::new(),
        }
    }

    /// With these below all files.
    #[must_use]
    pub fn above(self, given: Vec<Given>) -> Self {
        Self { given, ..self }
    }

    /// What is below all files.
    pub(crate) fn given(&self) -> &[Given] {
        &self.given
    }

    /// As oslo.config: `given` in its order; if it names no file, the first `PROGRAM.conf` of `~/.PROGRAM`, `~`,
    /// `/etc/PROGRAM` and `/etc` goes before it, and likewise, if it names no directory, the first `PROGRAM.conf.d`.
    pub fn search(program: &str, given: Vec<Source>, home: Option<&Path>) -> Self {
        let own = home
            .iter()
            .flat_map(|home| [home.join(format!(".{program}")), home.to_path_buf()]);
        let system = [format!("/etc/{program}"), "/etc".to_owned()].map(PathBuf::from);
        Self::search_in(program, given, &own.chain(system).collect::<Vec<_>>())
    }

    fn search_in(program: &str, given: Vec<Source>, places: &[PathBuf]) -> Self {
        let first = |ending: &str| {
            places
                .iter()
                .map(|place| place.join(format!("{program}.{ending}")))
                .find(|p| p.exists())
        };
        let mut list = Vec::new();
        if !given.iter().any(|s| matches!(s, Source::File(_))) {
            list.extend(first("conf").map(Source::File));
        }
        if !given.iter().any(|s| matches!(s, Source::Directory(_))) {
            list.extend(first("conf.d").map(Source::Directory));
        }
        list.extend(given);
        Self::new(list)
    }

    /// Where oslo.config's `find_file` looks for a file with a name: beside the files and in the directories, the last
    /// first.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        let directories = self.list.iter().rev().map(|source| match source {
            Source::File(path) => match path.parent() {
                Some(parent) => parent.to_path_buf(),
                None => PathBuf::new(),
            },
            Source::Directory(path) => path.clone(),
        });
        directories.collect()
    }

    /// The files, each or what stands in its place: a directory and why it cannot be listed.
    pub(crate) fn files(&self) -> Vec<Result<PathBuf, (PathBuf, io::Error)>> {
        let mut files = Vec::new();
        for source in &self.list {
            match source {
                Source::File(path) => files.push(Ok(path.clone())),
                Source::Directory(path) => match configuration_files(path) {
                    Ok(found) => files.extend(found.into_iter().map(Ok)),
                    Err(error) => files.push(Err((path.clone(), error))),
                },
            }
        }
        files
    }
}

fn configuration_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in directory.read_dir()? {
        let name = entry?.file_name();
        let hidden = name.as_encoded_bytes().starts_with(b".");
        if !hidden && name.as_encoded_bytes().ends_with(b".conf") {
            files.push(directory.join(name));
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_is_given_goes_before_what_is_found() {
        let root = tempfile::tempdir().unwrap();
        let places: Vec<_> = ["a", "b", "c"].map(|name| root.path().join(name)).into();
        for place in &places[1..] {
            fs::create_dir_all(place.join("ironic-proxy.conf.d")).unwrap();
            fs::write(place.join("ironic-proxy.conf"), "").unwrap();
        }
        let found_file = Source::File(places[1].join("ironic-proxy.conf"));
        let found_directory = Source::Directory(places[1].join("ironic-proxy.conf.d"));
        let file = Source::File("f".into());
        let directory = Source::Directory("d".into());
        for (given, expected) in [
            (vec![], vec![&found_file, &found_directory]),
            (vec![&file], vec![&found_directory, &file]),
            (vec![&directory], vec![&found_file, &directory]),
            (vec![&directory, &file], vec![&directory, &file]),
        ] {
            let given = given.into_iter().cloned().collect();
            let expected: Vec<_> = expected.into_iter().cloned().collect();
            assert_eq!(
                Sources::search_in("ironic-proxy", given, &places),
                Sources::new(expected)
            );
        }
        assert_eq!(
            Sources::search_in("ironic-proxy", vec![], &places[..1]),
            Sources::default()
        );
    }

    #[test]
    fn a_directory_gives_its_files_in_order() {
        let root = tempfile::tempdir().unwrap();
        let mut expected: Vec<_> = (10..40).map(|n| format!("{n}.conf")).collect();
        for name in expected.iter().rev() {
            fs::write(root.path().join(name), "").unwrap();
        }
        for name in [".c.conf", "d.conf~", "e.txt"] {
            fs::write(root.path().join(name), "").unwrap();
        }
        fs::create_dir(root.path().join("sub")).unwrap();
        fs::write(root.path().join("sub/f.conf"), "").unwrap();
        let sources = Sources::new(vec![
            Source::File("z.conf".into()),
            Source::Directory(root.path().into()),
            Source::Directory(root.path().join("none")),
        ]);
        let files = sources.files();
        let names: Vec<_> = files
            .iter()
            .filter_map(|file| file.as_ref().ok())
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        expected.insert(0, "z.conf".to_owned());
        assert_eq!(names, expected);
        let (path, error) = files.last().unwrap().as_ref().unwrap_err();
        assert_eq!(path, &root.path().join("none"));
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
