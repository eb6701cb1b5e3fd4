//! `[oslo_policy]`: where the rules come from that decide who may do what.

use std::path::Path;
use std::path::PathBuf;

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

/// Where an operator's own rules are. What is not there says nothing; it may come later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PolicyFiles {
    /// Absolute, or below one of `places`.
    pub file: PathBuf,
    /// Likewise.
    pub directories: Vec<PathBuf>,
    /// Directories of the configuration, as oslo.config's `find_file` goes through them.
    pub places: Vec<PathBuf>,
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

impl PolicyFiles {
    /// The file and the directories that are there, first to last: a later rule wins.
    pub fn found(&self) -> (Option<PathBuf>, Vec<PathBuf>) {
        let find = |path: &PathBuf| {
            let below = self.places.iter().map(|place| place.join(path));
            below.into_iter().find(|path| path.exists())
        };
        (
            find(&self.file),
            self.directories.iter().filter_map(find).collect(),
        )
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
    let (file, directories) = files.found();
    // oslo.policy ignores a missing policy.yaml and policy.d even if the file names them.
    if file.is_none() && files.file != *Path::new(FILE) {
        return Err(section.fault("policy_file", "is not there"));
    }
    if directories.len() < files.directories.len() && files.directories != [Path::new(DIRECTORY)] {
        return Err(section.fault("policy_dirs", "not all of these directories exist"));
    }
    Ok(files)
}
