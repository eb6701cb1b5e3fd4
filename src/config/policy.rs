//! `[oslo_policy]`: where the rules come from that decide who may do what.

use std::io::ErrorKind;
use std::path::Path;
use std::path::PathBuf;

use thiserror::Error;

use crate::oslo::passing::is_passing;
use crate::oslo::reader::Reader;
use crate::oslo::record::Faulted;

/// oslo.policy's defaults.
pub(crate) const FILE: &str = "policy.yaml";
pub(crate) const DIRECTORY: &str = "policy.d";

/// Who may do what.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyConfig {
    pub files: PolicyFiles,
    /// What a token that is scoped to a project may do.
    pub project_scoped_access: ProjectScoped,
    /// Ironic's `rbac_service_project_name`, if `rbac_service_role_elevated_access` is on.
    pub elevated_project: Option<String>,
    /// Ironic's `[api] project_admin_can_manage_own_nodes`.
    pub own_nodes: bool,
    /// Whether answers to a project's token name their location.
    pub tell_location: bool,
}

/// Where an operator's own rules are. `policy.yaml` and `policy.d` may come later; what else is named is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Absolute, or below one of `places`.
    pub file: PathBuf,
    /// Likewise.
    pub directories: Vec<PathBuf>,
    /// Directories of the configuration, as oslo.config's `find_file` goes through them.
    pub places: Vec<PathBuf>,
}

/// It is not known what an operator's own rules say.
#[derive(Debug, Error)]
#[error("`{}` {why}", path.display())]
pub struct Unfound {
    pub option: &'static str,
    path: PathBuf,
    why: String,
    /// Whether it may be there a moment later.
    pub passing: bool,
}

/// What a token that is scoped to a project may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProjectScoped {
    /// What Ironic's rules say of it.
    Policy,
    /// Nothing.
    Deny,
    /// With the role admin, everything: the rule before system scopes.
    LegacyAdmin,
}

impl Default for PolicyFiles {
    fn default() -> Self {
        Self {
            file: FILE.into(),
            directories: vec![DIRECTORY.into()],
            places: Vec::new(),
        }
    }
}

impl PolicyFiles {
    /// The file and the directories that are there, first to last: a later rule wins.
    ///
    /// # Errors
    /// One that was named is not there, or it cannot be seen whether there is one: its rules may be what keeps people out.
    pub fn found(&self) -> Result<(Option<PathBuf>, Vec<PathBuf>), Unfound> {
        // oslo.policy ignores a missing policy.yaml and policy.d even if the file names them.
        let may_lack = self.file == Path::new(FILE);
        let file = self.find("policy_file", &self.file, may_lack)?;
        let may_lack = self.directories == [Path::new(DIRECTORY)];
        let found = self.directories.iter();
        let found = found.map(|path| self.find("policy_dirs", path, may_lack));
        let directories = found
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        Ok((file, directories))
    }

    fn find(
        &self,
        option: &'static str,
        path: &Path,
        may_lack: bool,
    ) -> Result<Option<PathBuf>, Unfound> {
        let unfound = |path: &Path, why, passing| Unfound {
            option,
            path: path.to_path_buf(),
            why,
            passing,
        };
        for place in &self.places {
            let path = place.join(path);
            match path.try_exists() {
                Ok(true) => return Ok(Some(path)),
                Ok(false) => {}
                Err(error) if error.kind() == ErrorKind::NotADirectory => {}
                Err(error) => {
                    let why = format!("cannot be looked at: {error}");
                    return Err(unfound(&path, why, is_passing(&error)));
                }
            }
        }
        if may_lack {
            Ok(None)
        } else {
            Err(unfound(path, "is not there".to_owned(), true))
        }
    }
}

/// `[oslo_policy]` and what else has to do with rights. `places` are the directories of the configuration.
pub(crate) fn policy(reader: &mut Reader, places: Vec<PathBuf>) -> Result<PolicyConfig, Faulted> {
    let files = files(reader, places);
    let mut api = reader.section("api");
    let project_scoped_access = api.choice(
        "project_scoped_access",
        &[
            ("policy", ProjectScoped::Policy),
            ("deny", ProjectScoped::Deny),
            // For clouds whose automation still has project-scoped admin tokens from before Ironic's system scope.
            ("legacy_admin", ProjectScoped::LegacyAdmin),
        ],
    );
    let own_nodes = api.flag("project_admin_can_manage_own_nodes");
    let tell_location = api.flag("tell_location");
    let mut default = reader.section("DEFAULT");
    let elevated = default.flag("rbac_service_role_elevated_access");
    let service_project = default.always("rbac_service_project_name", "a project");
    Ok(PolicyConfig {
        files: files?,
        project_scoped_access: project_scoped_access?,
        // Ironic puts `config.service_project_name` into the policy target only if elevated access is on.
        elevated_project: Some(service_project?).filter(|_| matches!(elevated, Ok(true))),
        own_nodes: own_nodes?,
        tell_location: tell_location?,
    })
    .and_then(|policy| elevated.map(|_| policy))
}

fn files(reader: &mut Reader, places: Vec<PathBuf>) -> Result<PolicyFiles, Faulted> {
    let mut section = reader.section("oslo_policy");
    let file = section.always::<PathBuf>("policy_file", "a path");
    let directories = section.list("policy_dirs");
    let new_defaults = section.flag("enforce_new_defaults");
    // With `enforce_new_defaults = false` oslo.policy joins each rule's old check string with `or`; the table has none.
    if matches!(new_defaults, Ok(false)) {
        let text = "must be true: the rules before system scopes are not served; \
                    [api] project_scoped_access = legacy_admin comes nearest";
        return Err(section.fault("enforce_new_defaults", text));
    }
    let files = PolicyFiles {
        file: file?,
        directories: directories?.into_iter().map(PathBuf::from).collect(),
        places,
    };
    new_defaults?;
    match files.found() {
        Ok(_) => Ok(files),
        Err(unfound) if unfound.passing => Err(section.passing(unfound.option, unfound)),
        Err(unfound) => Err(section.fault(unfound.option, unfound)),
    }
}
