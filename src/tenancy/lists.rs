//! Lists of what a caller can see. Limits, markers and `next` count visible items only.

use std::borrow::Cow;
use std::collections::HashMap;
use std::mem;
use std::ops::Deref;

use bytes::Bytes;
use serde_json::Value;
use uuid::Uuid;

use crate::api::body::python;
use crate::api::collection::Collection;
use crate::api::identifier::is_uuid_like;
use crate::api::json;
use crate::api::link::Mask;
use crate::api::merged_page::MergedPage;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::rules::Rule;
use crate::config::LocationId;
use crate::federate::Error;
use crate::federate::merged::marker::Marker;
use crate::federate::merged::marker::PAGING;
use crate::federate::merged::marker::WALK;
use crate::federate::merged::marker::onward;
use crate::federate::objection::Objection;
use crate::policy::caller::Project;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::request::Content;
use crate::request::Missing;
use crate::request::Review;
use crate::tenancy::case::ALLOCATION_OWNER;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::case::Found;
use crate::tenancy::case::LESSEE;
use crate::tenancy::case::path;
use crate::tenancy::facts::Holders;
use crate::tenancy::facts::Node;
use crate::tenancy::facts::Visible;
use crate::tenancy::masks;
use crate::tenancy::masks::Masking;
use crate::tenancy::masks::SaidHolders;
use crate::tenancy::masks::Sight;
use crate::tenancy::page::Page;
use crate::tenancy::refusal;
use crate::tenancy::resource;
use crate::tenancy::resource::Resource;

/// The words that oslo.utils reads as booleans.
pub(super) const BOOLEANS: &[&str] = &[
    "0", "1", "f", "false", "n", "no", "off", "on", "t", "true", "y", "yes",
];

/// So many are remembered while a page is judged.
const MOST_SIGHTS: usize = 16;

/// Which things a caller may list.
pub(super) enum Share {
    All,
    Own,
}

/// A list that is read from the locations page by page, and shown where `keep` says so.
pub(super) struct Sieve<'s> {
    pub(super) key: &'static str,
    /// The only location that is asked.
    pub(super) at: Option<LocationId>,
    /// As it is asked: what `keep` needs is among the members.
    pub(super) query: Query,
    pub(super) version: Microversion,
    /// Members that only `keep` needs.
    pub(super) strip: Vec<&'static str>,
    pub(super) keep: &'s (dyn Fn(&Found) -> bool + Sync),
    /// Nothing will be kept, and a page is read only for a location's word on the query.
    pub(super) is_vain: bool,
}

/// Requests for lists.
pub(crate) struct Lists<'c>(pub(crate) &'c Case<'c>);

impl<'c> Deref for Lists<'c> {
    type Target = Case<'c>;

    fn deref(&self) -> &Case<'c> {
        self.0
    }
}

impl Lists<'_> {
    /// Ironic's `check_list_policy`: everything, or what is the project's own. `wanted` is whose things the query asks
    /// for.
    pub(super) fn share(&self, all: Rule, own: Rule, wanted: Option<&str>) -> Result<Share, Error> {
        if self.allows(all, &Target::Nothing) {
            return Ok(Share::All);
        }
        let Some(project) = self.project() else {
            return Err(self.deny(all));
        };
        // Ironic denies another project's id with the `list_all` rule, and treats an empty value as a filter that
        // matches nothing.
        if wanted.is_some_and(|wanted| !wanted.is_empty() && wanted != project.id) {
            return Err(self.deny(all));
        }
        self.permit(own, &Target::Nothing)?;
        Ok(Share::Own)
    }

    /// `/nodes`, and those of a chassis.
    pub(crate) async fn list_nodes(&self, all: Rule, own: Rule) -> Result<Answer, Error> {
        let query = &self.request.query;
        if query.repeated(&["project"]).is_some() {
            // Two of them are a list to Ironic, which wants a text.
            let listed = repeated(query, "project");
            let text = format!("Expected string for project: {listed}");
            return Err(refusal::invalid(text));
        }
        let share = self.share(all, own, query.value("project"))?;
        let mut errand = self.errand(Bytes::new());
        // Of all nodes there are those whose members are hidden from the caller, as of each that is shown alone.
        let project = self.project().filter(|_| matches!(share, Share::Own));
        if let Some(marker) = self.marker().filter(|_| project.is_some()) {
            self.listed_node_at(&marker.item, marker.location).await?;
        }
        // Owner and lessee are read with the page itself, so no change between two questions can unmask a field.
        let mut wanted = vec!["uuid"];
        if self.request.version >= LESSEE {
            wanted.extend(["owner", "lessee"]);
        }
        // Without `fields` none are added: a short list shows nothing that is masked, a detailed one shows the holders.
        let (fields, strip) = query.with_fields(&wanted);
        errand.query = match project {
            Some(project) => fields.without(&["project"]).with("project", project.id),
            None => fields,
        };
        errand.review = Review {
            noted: masks::NOTED,
            unshown: strip,
            ..Review::default()
        };
        let mut answer = self.send(errand.clone()).await?;
        if !answer.status.is_success() {
            return Err(Error::Reply(Box::new(answer)));
        }
        if project.is_some() && query.value("instance_uuid").is_some() {
            answer = self.own_alone(errand, answer).await?;
        }
        let Content::List(mut page) = mem::take(&mut answer.body) else {
            return Err(Error::Unreadable);
        };
        // Below 1.65 the answer has no lessee but Ironic masks all the same, so the holders are asked for separately.
        let visible =
            if self.request.version < LESSEE && page.items().any(|item| Masking::is_about(&item)) {
                let (visible, missing) = self.visible_nodes(Query::default()).await?;
                answer.lacks(missing);
                Some(visible)
            } else {
                None
            };
        let masks = self.masks(&page, &answer, visible.as_ref())?;
        page.mask(masks);
        let next = page.next().and_then(|next| {
            let begin = onward(next)?;
            let marker = Marker::parse(begin.value("marker")?, &self.federation.locations);
            let is_end = marker.item == page.items().next_back()?.id()?;
            is_end.then(|| self.next(page.items().len(), &begin))
        });
        answer.body = Content::List(Box::new(page.with_next(next)));
        Ok(answer)
    }

    /// Beside an instance's UUID Ironics of API 1.65 to some 1.74 look at no other filter (`_get_nodes_collection` of
    /// `ironic/api/controllers/v1/node.py`), so what comes may be another project's.
    async fn own_alone(&self, errand: Errand, answer: Answer) -> Result<Answer, Error> {
        let Content::List(page) = &answer.body else {
            return Err(Error::Unreadable);
        };
        let mut places = answer.places.iter().copied();
        let shown: Vec<(String, Option<LocationId>)> = page
            .items()
            .filter_map(|item| {
                let at = places.next().or(answer.location);
                Some((item.id()?.into_owned(), at))
            })
            .collect();
        let (all, mut own) = (shown.len(), Vec::new());
        for (uuid, at) in shown {
            match self.listed_node_at(&uuid, at).await {
                Ok(_) => own.push(at),
                Err(Error::Objection(Objection::Absent(_))) => {}
                Err(error) => return Err(error),
            }
        }
        let mut alone = match own.first() {
            _ if own.len() == all => return Ok(answer),
            Some(at) => self.send(errand.at(*at)).await?,
            None => {
                // Whoever was silent may have what was looked for, and the look-up was whole with what it found. One that
                // finds nothing is not.
                let query = errand.query.without(&["instance_uuid"]);
                let nobodys = Uuid::new_v4().to_string();
                let query = query.with("instance_uuid", nobodys);
                self.send(Errand { query, ..errand }).await?
            }
        };
        alone.lacks(answer.missing().iter().copied());
        Ok(alone)
    }

    /// What is hidden of each node on a page. `visible`: whose they are, if the page does not say it.
    fn masks(
        &self,
        page: &MergedPage,
        answer: &Answer,
        visible: Option<&Visible>,
    ) -> Result<Vec<Vec<Mask>>, Error> {
        let mut masking = Masking::default();
        let judge = |holders: &Holders| Sight::of(self.rules, &self.caller, &holders.target());
        // Most nodes of a page have the same few holders, in the same words.
        let mut sights: Vec<(SaidHolders<'_>, Sight)> = Vec::new();
        let mut places = answer.places.iter().copied();
        let masks = page.items().map(|item| {
            let at = places.next().or(answer.location);
            if self.judges_itself(at) {
                return Ok(Vec::new());
            }
            let sight = if let Some(visible) = visible {
                let known = item.id().and_then(|uuid| visible.get(at, &uuid));
                known.map_or_else(|| judge(&Holders::default()), judge)
            } else {
                let said = masks::holders(&item);
                if let Some((_, sight)) = sights.iter().find(|(known, _)| *known == said) {
                    *sight
                } else {
                    let sight = judge(&masks::understood(said));
                    if sights.len() < MOST_SIGHTS {
                        sights.push((said, sight));
                    }
                    sight
                }
            };
            masking.of(&item, sight).map_err(|_| Error::Unreadable)
        });
        masks.collect()
    }

    /// Where the client's page begins. What cannot be the UUID of anything is refused with the first question.
    pub(super) fn marker(&self) -> Option<Marker> {
        self.any_marker()
            .filter(|marker| is_uuid_like(&marker.item))
    }

    pub(super) fn any_marker(&self) -> Option<Marker> {
        let marker = self.request.query.value("marker")?;
        Some(Marker::parse(marker, &self.federation.locations))
    }

    /// There is a marker that is none.
    pub(super) fn marker_is_odd(&self) -> bool {
        self.any_marker().is_some() && self.marker().is_none()
    }

    /// The link to the page that begins there repeats the client's own query, not the one that the locations were asked.
    fn next(&self, limit: usize, begin: &Query) -> String {
        let mut next = format!(
            "{}{}",
            self.request.base.as_str(),
            self.request.target.path()
        );
        self.request
            .query
            .without(PAGING)
            .with("limit", limit.to_string())
            .and(begin)
            .append_to(&mut next);
        next
    }

    /// `/allocations`
    pub(crate) async fn list_allocations(&self, all: Rule, own: Rule) -> Result<Answer, Error> {
        let query = &self.request.query;
        if query.repeated(&["owner"]).is_some() {
            let listed = repeated(query, "owner");
            let text = format!("Schema error: {listed} is not of type 'string'");
            return Err(refusal::invalid(text));
        }
        let share = self.share(all, own, query.value("owner"))?;
        let errand = self.errand(Bytes::new());
        let Some(project) = self.project().filter(|_| matches!(share, Share::Own)) else {
            return self.list_all_allocations(errand).await;
        };
        if query.value("owner").is_some() && self.request.version < ALLOCATION_OWNER {
            // A location would say so too; only our credential, which sees everybody's, is never used for it.
            return Err(refusal::too_new());
        }
        let node = match query.value("node") {
            None => None,
            Some(ident) => {
                let node = self.visible_node(ident).await?;
                Some(node.ok_or_else(|| refusal::no_such_node(ident))?)
            }
        };
        if let Some(marker) = self.marker() {
            let thing = (Collection::Allocations, marker.item.as_str());
            let told = self
                .look_up_at(thing, "uuid,owner", marker.location)
                .await?;
            let is_own = |found: &Found| {
                self.judges_itself(found.at) || found.resource.says("owner", project.id)
            };
            if !told.found.iter().any(is_own) {
                return Err(refusal::absent(Collection::Allocations, &marker.item));
            }
        }
        match node {
            None if self.request.version >= ALLOCATION_OWNER => {
                self.list_own_allocations(project, errand).await
            }
            node => self.sift_allocations(project, node).await,
        }
    }

    /// As there is no owner to judge by below 1.60, nobody is shown them there who may not get each.
    async fn list_all_allocations(&self, mut errand: Errand) -> Result<Answer, Error> {
        if let Some(ident) = self.request.query.value("node") {
            let node = self.visible_node(ident).await?;
            let node = node.ok_or_else(|| refusal::no_such_node(ident))?;
            // Where it was judged.
            errand.query = errand.query.without(&["node"]).with("node", node.uuid);
            errand = errand.at(node.at);
        }
        if self.allows(Rule::AllocationGet, &Target::Unasked) {
            return self.send(errand).await;
        }
        if self.request.version < ALLOCATION_OWNER {
            return Err(self.deny(Rule::AllocationGet));
        }
        let (fields, strip) = errand.query.with_fields(&["owner"]);
        errand.query = fields;
        errand.review = Review {
            noted: &["owner"],
            unshown: strip.clone(),
            ..Review::default()
        };
        let may_get = |owner: Option<&str>, at: Option<LocationId>| {
            let owner = owner.filter(|owner| !owner.is_empty());
            if self.judges_itself(at) {
                Ok(())
            } else {
                self.permit(Rule::AllocationGet, &Target::Allocation { owner })
            }
        };
        let answer = self.send(errand).await?;
        let Content::List(page) = &answer.body else {
            // That of one node is no merged list.
            let mut page = Page::of(answer, "allocations")?;
            for found in &page.items {
                may_get(found.resource.text("owner").as_deref(), found.at)?;
            }
            strip_all(&mut page.items, &strip);
            return Ok(page.into_answer(self.federation.collection_links));
        };
        let mut places = answer.places.iter().copied();
        for item in page.items() {
            let owner = item.noted(0).and_then(|owner| json::decode(owner.raw));
            may_get(owner.as_deref(), places.next().or(answer.location))?;
        }
        Ok(answer)
    }

    async fn list_own_allocations(
        &self,
        project: Project<'_>,
        mut errand: Errand,
    ) -> Result<Answer, Error> {
        let query = errand.query.without(&["owner"]);
        errand.query = query.with("owner", project.id);
        let answer = self.send(errand).await?;
        if answer.status.is_success() {
            self.permit_allocations(project, answer.places.iter().map(|at| Some(*at)))?;
        }
        Ok(answer)
    }

    /// Ironic checks `allocation:get` for each row, so role service without reader gets a 403 for the whole list.
    fn permit_allocations(
        &self,
        project: Project<'_>,
        mut shown: impl Iterator<Item = Option<LocationId>>,
    ) -> Result<(), Error> {
        let mine = Target::Allocation {
            owner: Some(project.id),
        };
        if shown.all(|at| self.judges_itself(at)) {
            return Ok(());
        }
        self.permit(Rule::AllocationGet, &mine)
    }

    /// For versions without an owner, and for `?node=`, which Ironic ignores for our system-scoped credential.
    async fn sift_allocations(
        &self,
        project: Project<'_>,
        node: Option<Node>,
    ) -> Result<Answer, Error> {
        let mut owned = HashMap::new();
        // What is at a node lies where the node does; a marker may lie elsewhere.
        let at = match &node {
            Some(node) if self.marker().is_none() => node.at,
            _ => None,
        };
        let filter = Query::default()
            .with("owner", project.id)
            .with("fields", "uuid,node_uuid");
        let mut found = Vec::new();
        // Where nobody owns anything nothing is a project's, and it may not even be asked for.
        let missing = if self.is_too_old(at.or(self.request.pinned)) {
            Missing::new()
        } else {
            let errand = Errand::get(path(&["allocations"]), filter, self.newest_at(at)).at(at);
            self.each_of(errand, "allocations", |one| found.push(one))
                .await?
        };
        self.permit_allocations(project, found.iter().map(|found| found.at))?;
        for one in &found {
            if let Some(uuid) = one.resource.text("uuid") {
                let node = one.resource.text("node_uuid").map(Cow::into_owned);
                owned.insert((one.at, uuid.into_owned()), node);
            }
        }
        let keep = |found: &Found| {
            let uuid = found.resource.text("uuid").unwrap_or_default();
            let of = owned.get(&(found.at, uuid.into_owned()));
            let is_there = |node: &Node| node.at.is_none() || node.at == found.at;
            of.is_some_and(|of| {
                node.as_ref()
                    .is_none_or(|node| of.as_ref() == Some(&node.uuid) && is_there(node))
            })
        };
        let (fields, strip) = self.request.query.with_fields(&["uuid"]);
        let mut page = self
            .sift(&Sieve {
                key: "allocations",
                at,
                query: fields.without(&["node", "owner"]),
                version: self.request.version,
                strip,
                keep: &keep,
                is_vain: false,
            })
            .await?;
        page.lacks(missing);
        Ok(page.into_answer(self.federation.collection_links))
    }

    /// Masks volume targets, one or a list of them; other answers stay as they are.
    pub(crate) fn mask_targets(&self, answer: Answer) -> Result<Answer, Error> {
        let is_targets = self.request.target.segments().get(..2)
            == Some(&["volume".to_owned(), "targets".to_owned()][..])
            || self.request.target.segments().last().map(String::as_str) == Some("targets");
        if !is_targets || !answer.status.is_success() || answer.body.is_empty() {
            return Ok(answer);
        }
        let mask = |target: &mut Resource, at: Option<LocationId>| {
            if !self.judges_itself(at) {
                masks::target(target, self.rules, &self.caller);
            }
        };
        let mut body = resource::shown(&answer)?;
        mask(&mut body, answer.location);
        if let Some(mut targets) = body.elements("targets") {
            // A merged list holds items of several locations, and each location's own policy may apply to its items.
            let mut places = answer.places.iter().copied();
            for element in &mut targets {
                let at = places.next().or(answer.location);
                if let Ok(mut target) = Resource::read(element) {
                    mask(&mut target, at);
                    *element = target.to_bytes();
                }
            }
            body.set_list("targets", targets.iter().map(|target| &**target));
        }
        Ok(resource::showing(answer, &body))
    }

    /// Reads until the page is full of visible items and it is known whether another one follows.
    pub(super) async fn sift(&self, sieve: &Sieve<'_>) -> Result<Page, Error> {
        let (limit, max) = (self.limit(), self.federation.max_limit);
        let mut query = sieve.query.clone();
        let mut shown: Option<Page> = None;
        let mut walk = Query::default();
        loop {
            let path = self.request.target.path();
            let errand = Errand::get(path, query.clone(), sieve.version).at(sieve.at);
            let mut page = Page::of(self.send(errand).await?, sieve.key)?;
            let before = query.value("marker").map(str::to_owned);
            let next = page.next.take().and_then(|next| onward(&next));
            let mut kept = mem::take(&mut page.items);
            kept.retain(|found| (sieve.keep)(found));
            // What a later page lacks the client's page lacks too.
            let missing = page.missing();
            let shown = shown.get_or_insert(page);
            shown.lacks(missing);
            let more = shown.items.len() + kept.len() > limit;
            shown.items.extend(kept);
            // A `next` with the marker that was just sent would never end.
            let is_next = |next: &Query| next.value("marker") != before.as_deref();
            let Some(next) = next.filter(is_next).filter(|_| !more && !sieve.is_vain) else {
                break;
            };
            query = sieve
                .query
                .without(PAGING)
                // Later pages are as large as they may be: how many of their items are visible is not known.
                .with("limit", max.to_string())
                .and(&next);
            walk = next.only(&[WALK]);
        }
        let Some(page) = shown else {
            return Err(refusal::no_resource());
        };
        Ok(self.cut(page, sieve, &walk))
    }

    /// Items on a page. Text that is no number is refused with the first question.
    fn limit(&self) -> usize {
        let max = self.federation.max_limit;
        let asked = self.request.query.limit().ok().flatten();
        asked.unwrap_or(max).clamp(1, max)
    }

    /// The client's page of these items, with a link if there are more.
    pub(super) fn cut(&self, mut page: Page, sieve: &Sieve<'_>, walk: &Query) -> Page {
        let limit = self.limit();
        let more = page.items.len() > limit;
        page.items.truncate(limit);
        let last = page.items.last().filter(|_| more);
        if let Some(marker) = last.and_then(|last| self.end(last)) {
            let begin = Query::default().with("marker", marker).and(walk);
            page.next = Some(self.next(limit, &begin));
        }
        strip_all(&mut page.items, &sieve.strip);
        page
    }

    /// The marker behind an item, with its location if another location may have the same identifier.
    fn end(&self, last: &Found) -> Option<String> {
        let is_alone = self.federation.locations.iter().len() == 1 || self.request.pinned.is_some();
        let marker = Marker {
            item: last.resource.text("uuid")?.into_owned(),
            location: last.at.filter(|_| !is_alone),
        };
        Some(marker.text(&self.federation.locations))
    }
}

/// Several values of a parameter, as Python shows the list that they are to it.
pub(super) fn repeated(query: &Query, name: &str) -> String {
    python(&query.values(name).collect::<Value>())
}

pub(super) fn strip_all(items: &mut [Found], strip: &[&'static str]) {
    for item in items {
        for name in strip {
            item.resource.remove(name);
        }
    }
}
