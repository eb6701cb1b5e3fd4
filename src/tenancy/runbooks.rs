//! Runbooks: private to their owner, or public to read. Ironic does not hide them: a private one is a 403, not a 404.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::mem;
use std::ops::Deref;

use bytes::Bytes;
use http::Method;

use crate::api::body::Object;
use crate::api::body::Patch;
use crate::api::body::Value;
use crate::api::collection::Collection;
use crate::api::query::Query;
use crate::api::rules::Rule;
use crate::auth::access::attributes;
use crate::auth::access::attributes::Change;
use crate::config::LocationId;
use crate::federate::Error;
use crate::locate::LocateError;
use crate::locations::silence::Silence;
use crate::locations::window::ask_all;
use crate::policy::caller::Project;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::request::Missing;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::case::Found;
use crate::tenancy::case::path;
use crate::tenancy::facts::Owned;
use crate::tenancy::lists::BOOLEANS;
use crate::tenancy::lists::Lists;
use crate::tenancy::lists::Share;
use crate::tenancy::lists::Sieve;
use crate::tenancy::lists::repeated;
use crate::tenancy::lists::strip_all;
use crate::tenancy::provision::Provision;
use crate::tenancy::provision::steps_of;
use crate::tenancy::refusal;
use crate::tenancy::resource::Resource;

/// What a copy is judged by.
const COPY: &str = "uuid,owner,public,steps";

/// Runbooks by UUID, and the locations with copies that somebody may see.
type Places = BTreeMap<String, BTreeSet<LocationId>>;

/// Copies of a runbook, and why there may be more of them.
#[derive(Default)]
struct Copies {
    found: Vec<(Owned, Resource)>,
    /// Locations that could not say whether they have one.
    silent: Vec<Silence>,
    /// What a location says that shows none to the caller, since it judges itself.
    refused: Option<Error>,
}

/// Requests about runbooks.
pub(crate) struct Runbooks<'c>(pub(crate) &'c Case<'c>);

impl<'c> Deref for Runbooks<'c> {
    type Target = Case<'c>;

    fn deref(&self) -> &Case<'c> {
        self.0
    }
}

impl Runbooks<'_> {
    pub(crate) async fn one_runbook(
        &self,
        ident: &str,
        rule: Rule,
        body: Bytes,
    ) -> Result<Answer, Error> {
        if rule == Rule::RunbookGet {
            return self.show_runbook(ident, body).await;
        }
        let copies = self.copies(ident).await?;
        if let Some(refused) = copies.refused {
            return Err(refused);
        }
        let Some(uuid) = copies.found.first().map(|(copy, _)| copy.uuid.clone()) else {
            return Err(missing(ident, copies.silent));
        };
        let patch = match self.request.method {
            Method::PATCH => Some(Patch::parse(&body)?),
            _ => None,
        };
        let rules = match &patch {
            Some(patch) => {
                let changes = patch.changes();
                let changes = changes.iter().map(|(path, value)| Change {
                    path,
                    value: value.as_ref(),
                });
                // Owner and public have rules of their own, beside the one for the runbook as a whole.
                attributes::rules("runbooks/{}", rule, changes)
            }
            None => vec![rule],
        };
        // All of them are written, and one may be somebody else's, after a change say that could not be undone.
        let mut steps = Vec::new();
        for (copy, found) in &copies.found {
            for rule in &rules {
                if self.judges_itself(copy.at) {
                    self.leave(*rule, &copy.runbook());
                } else {
                    self.permit(*rule, &copy.runbook())?;
                }
            }
            if !self.judges_itself(copy.at) {
                steps.push(steps_of(found));
            }
        }
        let body = match patch {
            Some(patch) => {
                if !steps.is_empty() {
                    Provision(self.0).check_patched_steps(&patch, &steps)?;
                }
                patch.to_bytes()
            }
            None => body,
        };
        if !copies.silent.is_empty() {
            return Err(Error::Silent(copies.silent));
        }
        let errand = self.errand(body);
        self.send_by(Collection::Runbooks, &uuid, errand).await
    }

    /// Any copy that the caller may see, and no other one than was judged.
    async fn show_runbook(&self, ident: &str, body: Bytes) -> Result<Answer, Error> {
        // Only the runbook itself is public; its traits need the rule (both are `baremetal:runbook:get`).
        let is_whole = self.request.target.segments().len() == 2;
        let copy = self.shown_copy(ident, is_whole).await?;
        let errand = self.errand(body).at(copy.at);
        let answer = self
            .send_by(Collection::Runbooks, &copy.uuid, errand)
            .await?;
        Ok(Answer {
            // It is the same everywhere, as far as the client is told.
            location: self.request.pinned,
            ..answer
        })
    }

    async fn shown_copy(&self, ident: &str, is_whole: bool) -> Result<Owned, Error> {
        let shows = |copy: &&Owned| self.shows(copy, is_whole);
        let found = self
            .look_up((Collection::Runbooks, ident), COPY)
            .await?
            .found;
        let found: Vec<_> = found.iter().filter_map(Owned::of).collect();
        if found.is_empty() {
            return Err(missing(ident, Vec::new()));
        }
        if let Some(copy) = any_copy(found.iter().filter(shows))? {
            return Ok(copy.clone());
        }
        // Whichever answered first has somebody else's.
        let copies = self.all_copies(ident, &found).await?;
        let found = copies.found.iter().map(|(copy, _)| copy);
        match any_copy(found.filter(shows))? {
            Some(copy) => Ok(copy.clone()),
            // One of these may have the caller's.
            None if !copies.silent.is_empty() => Err(Error::Silent(copies.silent)),
            None => Err(self.hide_runbook(is_whole, copies.refused)),
        }
    }

    fn shows(&self, copy: &Owned, is_whole: bool) -> bool {
        self.judges_itself(copy.at)
            || self.allows(Rule::RunbookGet, &copy.runbook())
            || (is_whole && copy.public)
    }

    fn hide_runbook(&self, is_whole: bool, refused: Option<Error>) -> Error {
        let denied = self.deny(Rule::RunbookGet);
        refused.unwrap_or(if is_whole {
            refusal::forbidden_runbook()
        } else {
            denied
        })
    }

    /// Of one runbook, by UUID. Of several with this name it is the one that the caller is shown.
    async fn copies(&self, ident: &str) -> Result<Copies, Error> {
        let copies = self.copies_called(ident).await?;
        let found = || copies.found.iter().map(|(copy, _)| copy);
        let shown = found().filter(|copy| self.shows(copy, true));
        let meant = match (any_copy(found()), any_copy(shown)?) {
            (_, Some(shown)) => Some(shown),
            (Ok(None), None) => None,
            (Ok(Some(found)), None) if found.uuid == ident => Some(found),
            // Others may call the caller's the same.
            _ if !copies.silent.is_empty() => return Err(Error::Silent(copies.silent)),
            (Ok(found), None) => found,
            // Whoever may see none of several is told of none.
            (Err(_), None) => return Err(self.hide_runbook(true, copies.refused)),
        };
        match meant {
            // A copy may have another name.
            Some(meant) if meant.uuid != ident => self.copies_called(&meant.uuid).await,
            _ => Ok(copies),
        }
    }

    /// Of what these are copies of, and of what is called so.
    async fn all_copies(&self, ident: &str, of: &[Owned]) -> Result<Copies, Error> {
        let uuids = of.iter().map(|copy| copy.uuid.as_str());
        let idents: BTreeSet<_> = uuids.chain([ident]).collect();
        let mut all = Copies::default();
        for ident in idents {
            let copies = self.copies_called(ident).await?;
            all.found.extend(copies.found);
            all.silent.extend(copies.silent);
            all.refused = all.refused.or(copies.refused);
        }
        all.silent.sort_by_key(|silence| silence.location);
        all.silent.dedup_by_key(|silence| silence.location);
        Ok(all)
    }

    async fn copies_called(&self, ident: &str) -> Result<Copies, Error> {
        let everywhere: Vec<_> = match self.request.pinned {
            Some(at) => vec![at],
            None => self.locations().collect(),
        };
        let thing = (Collection::Runbooks, ident);
        let asked = everywhere
            .into_iter()
            .map(|at| self.look_up_at(thing, COPY, Some(at)));
        let mut copies = Copies::default();
        for told in ask_all(asked).await {
            match told {
                Ok(told) => {
                    for found in told.found {
                        let copy = Owned::of(&found).ok_or(Error::Unreadable)?;
                        copies.found.push((copy, found.resource));
                    }
                }
                Err(Error::Silent(silent)) => copies.silent.extend(silent),
                Err(refused) => copies.refused = copies.refused.or(Some(refused)),
            }
        }
        Ok(copies)
    }

    pub(crate) async fn new_runbook(&self, rule: Rule, body: &[u8]) -> Result<Answer, Error> {
        let errand = |object: &Object| self.errand(object.to_bytes());
        if self.judges_itself(self.request.pinned) {
            self.leave(rule, &Target::Nothing);
            let object = Object::parse("runbook", body)?;
            return self.send(errand(&object)).await;
        }
        self.permit(rule, &Target::Nothing)?;
        let mut object = Object::parse("runbook", body)?;
        Provision(self.0).check_steps(&object, "steps", &Target::Nothing)?;
        // Ironic's schema refuses an owner that is no text.
        let is_refused = object.value("owner") == Value::Other;
        if let Some(project) = self.project().filter(|_| !is_refused) {
            let wanted = object.text("owner").filter(|owner| !owner.is_empty());
            if wanted.is_some_and(|wanted| wanted != project.id) {
                return Err(refusal::invalid(
                    "Cannot create a runbook as a project scoped admin with an owner other than your own project.",
                ));
            }
            if object.is_true("public") {
                return Err(refusal::invalid(
                    "Cannot create a public runbook as a project scoped admin.",
                ));
            }
            // Ironic fills the owner in for a project's token; our system-scoped credential has to send it.
            object.set("owner", project.id);
            let answer = self.told(errand(&object)).await?;
            if !refusal::is_refused_owner(&answer) {
                return Ok(answer);
            }
            // For an Ironic without Keystone nobody is of the system, so nobody may name an owner at once.
            object.remove("owner");
            return (self.make_and_give(errand(&object), Collection::Runbooks, project)).await;
        }
        self.send(errand(&object)).await
    }

    /// `/runbooks`: the project's own and the public ones. Ironic has no filter for that.
    pub(crate) async fn list_runbooks(&self, all: Rule, own: Rule) -> Result<Answer, Error> {
        let (lists, query) = (Lists(self.0), &self.request.query);
        let wanted = match query.repeated(&["project"]) {
            Some(name) => Some(repeated(query, name)),
            None => query.value("project").map(str::to_owned),
        };
        if let Some(wanted) = wanted
            && !BOOLEANS.contains(&wanted.trim().to_lowercase().as_str())
        {
            // Ironic reads `project` as a boolean here (`args.boolean` of `ironic/common/args.py`), and checks that before its
            // policy.
            return Err(refusal::invalid(format!(
                "Invalid project: Unrecognized value '{wanted}', acceptable values are: '0', '1', 'f', 'false', 'n', \
                 'no', 'off', 'on', 't', 'true', 'y', 'yes'"
            )));
        }
        // A false one is no filter to Ironic.
        let wanted = query.value("project").filter(|_| query.is_on("project"));
        let share = lists.share(all, own, wanted)?;
        let Some(project) = self.project().filter(|_| matches!(share, Share::Own)) else {
            return self.send(self.errand(Bytes::new())).await;
        };
        let (visible, missing) = self.visible_runbooks(project).await?;
        if let Some(marker) = lists.any_marker()
            && !visible.contains_key(&marker.item)
        {
            return Err(refusal::absent(Collection::Runbooks, &marker.item));
        }
        let at = |found: &Found| visible.get(&*found.resource.text("uuid")?);
        let (fields, strip) = query.with_fields(&["uuid"]);
        let mut page = lists
            .sift(&Sieve {
                key: "runbooks",
                at: None,
                query: fields,
                version: self.request.version,
                strip: Vec::new(),
                keep: &|found| at(found).is_some(),
                is_vain: false,
            })
            .await?;
        let mut shown = Vec::new();
        for found in mem::take(&mut page.items) {
            match at(&found) {
                Some(at) if found.at.is_none_or(|here| !at.contains(&here)) => {
                    shown.extend(self.other_copy(&found, at).await?);
                }
                _ => shown.push(found),
            }
        }
        page.items = shown;
        strip_all(&mut page.items, &strip);
        page.lacks(missing);
        Ok(page.into_answer(self.federation.collection_links))
    }

    /// Runbooks that a project is shown in lists, and the locations whose copies it is shown.
    async fn visible_runbooks(&self, project: Project<'_>) -> Result<(Places, Missing), Error> {
        let mut visible = Places::new();
        let query = Query::default().with("fields", "uuid,owner,public");
        let mut errand = Errand::get(path(&["runbooks"]), query, self.newest_at(None));
        errand.review.each_copy = true;
        let missing = self
            .each_of(errand, "runbooks", |found| {
                let runbook = &found.resource;
                let is_shown = runbook.says("owner", project.id) || runbook.is_true("public");
                if let (Some(uuid), Some(at)) =
                    (runbook.text("uuid").filter(|_| is_shown), found.at)
                {
                    visible.entry(uuid.into_owned()).or_default().insert(at);
                }
            })
            .await?;
        Ok((visible, missing))
    }

    /// The same members of a copy at one of these locations, in place of one that is somebody else's.
    async fn other_copy(
        &self,
        found: &Found,
        at: &BTreeSet<LocationId>,
    ) -> Result<Option<Found>, Error> {
        let (Some(uuid), Some(&at)) = (found.resource.text("uuid"), at.first()) else {
            return Ok(None);
        };
        let names: Vec<_> = found
            .resource
            .names()
            .filter(|name| *name != "links")
            .collect();
        let query = Query::default().with("fields", names.join(","));
        let errand = Errand::get(path(&["runbooks", &uuid]), query, self.request.version);
        let resource = self.read(errand.at(Some(at))).await?;
        let at = Some(at);
        Ok(resource.map(|resource| Found { resource, at }))
    }
}

/// Any of these, if they are copies of one runbook.
fn any_copy<'c>(
    copies: impl Iterator<Item = &'c Owned> + Clone,
) -> Result<Option<&'c Owned>, Error> {
    let mut others = copies.clone();
    let Some(first) = others.next() else {
        return Ok(None);
    };
    if others.any(|copy| copy.uuid != first.uuid) {
        let owners = copies.filter_map(|copy| copy.at).collect();
        return Err(LocateError::Ambiguous { owners }.into());
    }
    Ok(Some(first))
}

/// Nobody has it, as far as locations answered.
fn missing(ident: &str, silent: Vec<Silence>) -> Error {
    if silent.is_empty() {
        refusal::absent(Collection::Runbooks, ident)
    } else {
        Error::Silent(silent)
    }
}
