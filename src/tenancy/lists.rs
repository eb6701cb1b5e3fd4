//! Lists of what a caller can see, paged as if there were nothing else.

use std::ops::Deref;

use std::collections::HashMap;
use std::collections::HashSet;

use serde_json::Value;

use crate::api::collection::Collection;
use crate::api::microversion::Microversion;
use crate::api::query::Query;
use crate::api::rules::Rule;
use crate::federate::Error;
use crate::policy::targets::Target;
use crate::request::Answer;
use crate::tenancy::case::Case;
use crate::tenancy::case::Errand;
use crate::tenancy::case::Resource;
use crate::tenancy::case::resource;
use crate::tenancy::case::text;
use crate::tenancy::case::with_body;
use crate::tenancy::facts::ALLOCATION_OWNER;
use crate::tenancy::facts::Holders;
use crate::tenancy::masks;
use crate::tenancy::refusal;

/// From here on ports can be listed with `fields`.
const PORT_FIELDS: Microversion = Microversion::new(1, 8);

/// Whose things a caller may list.
enum Share {
    All,
    Own,
}

/// A list that is read from the locations page by page, and shown where `keep` says so.
struct Sieve<'s> {
    key: &'static str,
    /// As it is asked: what `keep` needs is among the members.
    query: Query,
    version: Microversion,
    /// Members that only `keep` needs.
    strip: Vec<&'static str>,
    keep: &'s (dyn Fn(&Resource) -> bool + Sync),
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
    fn share(&self, all: Rule, own: Rule, wanted: Option<&str>) -> Result<Share, Error> {
        if self.allows(all, &Target::Nothing) {
            return Ok(Share::All);
        }
        let Some(project) = self.project() else {
            return Err(self.deny(all));
        };
        if wanted.is_some_and(|wanted| !wanted.is_empty() && wanted != project.id) {
            return Err(self.deny(all));
        }
        self.permit(own, &Target::Nothing)?;
        Ok(Share::Own)
    }

    /// `/nodes`, and those of a chassis.
    pub(crate) async fn list_nodes(&self, all: Rule, own: Rule) -> Result<Answer, Error> {
        let query = &self.request.query;
        let share = self.share(all, own, query.value("project"))?;
        let mut errand = self.errand(bytes::Bytes::new());
        let Some(project) = self.project().filter(|_| matches!(share, Share::Own)) else {
            return self.send(errand).await;
        };
        if let Some(marker) = query.value("marker") {
            self.listed_node(marker).await?;
        }
        let (fields, strip) = with_fields(query, &["uuid"]);
        errand.query = fields.without(&["project"]).with("project", project.id);
        let answer = self.send(errand).await?;
        if !answer.status.is_success() {
            return Ok(answer);
        }
        let mut page = resource(&answer)?;
        let is_masked = |node: &Resource| masks::MASKED.iter().any(|name| node.contains_key(*name));
        let more = page.remove("next").is_some();
        let nodes = items(&mut page, "nodes");
        let marker = marker_of(nodes);
        let needed = nodes.iter().filter_map(Value::as_object).any(is_masked);
        let holders = if needed {
            // Below 1.65, and with `fields`, the page does not tell whose its nodes are.
            self.visible_nodes(Query::default()).await?
        } else {
            HashMap::new()
        };
        let stranger = Holders::default();
        for node in nodes.iter_mut().filter_map(Value::as_object_mut) {
            let uuid = text(node, "uuid");
            let whose = uuid.and_then(|uuid| holders.get(uuid)).unwrap_or(&stranger);
            masks::node(node, self.rules, &self.caller, &whose.target());
            for name in &strip {
                node.remove(*name);
            }
        }
        if let Some(marker) = marker.filter(|_| more) {
            let limit = nodes.len();
            page.insert("next".to_owned(), self.next(limit, marker));
        }
        Ok(with_body(answer, &page))
    }

    /// The link to the next page says what the client said.
    fn next(&self, limit: usize, marker: String) -> Value {
        let mut next = format!(
            "{}{}",
            self.request.base.as_str(),
            self.request.target.path()
        );
        self.request
            .query
            .without(&["limit", "marker"])
            .with("limit", limit.to_string())
            .with("marker", marker)
            .append_to(&mut next);
        Value::String(next)
    }

    /// `/ports`, `/portgroups`, `/volume/connectors`, `/volume/targets`.
    pub(crate) async fn list_parts(
        &self,
        collection: Collection,
        all: Rule,
        own: Rule,
    ) -> Result<Answer, Error> {
        let share = self.share(all, own, None)?;
        let query = &self.request.query;
        if matches!(share, Share::All) {
            let answer = self.send(self.errand(bytes::Bytes::new())).await?;
            return self.mask_targets(answer);
        }
        // What is at one thing that can be seen can be seen.
        let node = query.value("node_uuid").or_else(|| query.value("node"));
        let group = query
            .value("portgroup")
            .filter(|_| collection == Collection::Ports);
        if node.is_some() || group.is_some() {
            let mut errand = self.errand(bytes::Bytes::new());
            if let Some(ident) = group {
                let group = self.seen_part(Collection::Portgroups, ident).await?;
                errand.query = errand
                    .query
                    .without(&["portgroup"])
                    .with("portgroup", group.uuid);
            }
            if let Some(ident) = node {
                let node = self.listed_node(ident).await?;
                for name in ["node", "node_uuid"] {
                    if errand.query.value(name).is_some() {
                        errand.query = errand.query.without(&[name]).with(name, &node.uuid);
                    }
                }
            }
            if let Some(marker) = query.value("marker") {
                self.seen_part(collection, marker).await?;
            }
            let answer = self.send(errand).await?;
            return self.mask_targets(answer);
        }
        if let Some(marker) = query.value("marker") {
            self.seen_part(collection, marker).await?;
        }
        let nodes = self.visible_nodes(Query::default()).await?;
        let keep = |item: &Resource| is_at(item, &nodes);
        let sieve = self.parts_sieve(collection, &keep);
        let answer = self.sift(sieve).await?;
        self.mask_targets(answer)
    }

    fn parts_sieve<'s>(
        &self,
        collection: Collection,
        keep: &'s (dyn Fn(&Resource) -> bool + Sync),
    ) -> Sieve<'s> {
        let (query, strip) = with_fields(&self.request.query, &["uuid", "node_uuid"]);
        let mut sieve = Sieve {
            key: collection.facts().key,
            query,
            version: self.request.version,
            strip,
            keep,
        };
        let detailed = self.request.target.segments().last().map(String::as_str) == Some("detail")
            || sieve.query.value("detail").is_some();
        if sieve.query.value("fields").is_none() && !detailed {
            // Ironic's short form has no node. It is the same at every version, and so are these members.
            let short = match collection {
                Collection::Ports => Some("uuid,address,node_uuid"),
                Collection::Portgroups => Some("uuid,address,name,node_uuid"),
                _ => None,
            };
            if let Some(short) = short {
                sieve.query = sieve.query.with("fields", short);
                sieve.version = sieve.version.max(PORT_FIELDS);
                sieve.strip = vec!["node_uuid"];
            }
        }
        sieve
    }

    /// `/allocations`
    pub(crate) async fn list_allocations(&self, all: Rule, own: Rule) -> Result<Answer, Error> {
        let query = &self.request.query;
        let share = self.share(all, own, query.value("owner"))?;
        let mut errand = self.errand(bytes::Bytes::new());
        let Some(project) = self.project().filter(|_| matches!(share, Share::Own)) else {
            return self.send(errand).await;
        };
        if query.value("owner").is_some() && self.request.version < ALLOCATION_OWNER {
            // The location says what it thinks of it.
            return self.send(errand).await;
        }
        let mine = Target::Allocation {
            owner: Some(project.id),
        };
        let node = match query.value("node") {
            None => None,
            Some(ident) => {
                let node = self.visible_node(ident).await?;
                Some(node.ok_or_else(|| refusal::no_such_node(ident))?)
            }
        };
        if let Some(marker) = query.value("marker") {
            let found = self.allocation(marker).await?;
            let seen = found.is_some_and(|found| found.owner.as_deref() == Some(project.id));
            if !seen {
                return Err(refusal::absent(Collection::Allocations, marker));
            }
        }
        if node.is_none() && self.request.version >= ALLOCATION_OWNER {
            errand.query = query.without(&["owner"]).with("owner", project.id);
            let answer = self.send(errand).await?;
            if !answer.status.is_success() {
                return Ok(answer);
            }
            let mut page = resource(&answer)?;
            // Ironic asks for each that it shows.
            if !items(&mut page, "allocations").is_empty() {
                self.permit(Rule::AllocationGet, &mine)?;
            }
            return Ok(answer);
        }
        let mut owned = HashMap::new();
        let filter = Query::default()
            .with("owner", project.id)
            .with("fields", "uuid,node_uuid");
        self.each_page("allocations", filter, |allocation| {
            if let Some(uuid) = text(&allocation, "uuid") {
                let at = text(&allocation, "node_uuid").map(str::to_owned);
                owned.insert(uuid.to_owned(), at);
            }
        })
        .await?;
        let wanted = node.map(|node| node.uuid);
        let keep = |item: &Resource| {
            let Some(at) = text(item, "uuid").and_then(|uuid| owned.get(uuid)) else {
                return false;
            };
            wanted.is_none() || *at == wanted
        };
        if !owned.is_empty() {
            self.permit(Rule::AllocationGet, &mine)?;
        }
        let (fields, strip) = with_fields(query, &["uuid"]);
        self.sift(Sieve {
            key: "allocations",
            query: fields.without(&["node", "owner"]),
            version: self.request.version,
            strip,
            keep: &keep,
        })
        .await
    }

    /// `/runbooks`: one's own, and those for everybody.
    pub(crate) async fn list_runbooks(&self, all: Rule, own: Rule) -> Result<Answer, Error> {
        let query = &self.request.query;
        let share = self.share(all, own, query.value("project"))?;
        let Some(project) = self.project().filter(|_| matches!(share, Share::Own)) else {
            return self.send(self.errand(bytes::Bytes::new())).await;
        };
        let mut visible = HashSet::new();
        let filter = Query::default().with("fields", "uuid,owner,public");
        self.each_page("runbooks", filter, |runbook| {
            let mine = text(&runbook, "owner") == Some(project.id);
            let public = runbook.get("public") == Some(&Value::Bool(true));
            if let Some(uuid) = text(&runbook, "uuid").filter(|_| mine || public) {
                visible.insert(uuid.to_owned());
            }
        })
        .await?;
        if let Some(marker) = query.value("marker")
            && !visible.contains(marker)
        {
            return Err(refusal::absent(Collection::Runbooks, marker));
        }
        let keep = |item: &Resource| text(item, "uuid").is_some_and(|uuid| visible.contains(uuid));
        let (fields, strip) = with_fields(query, &["uuid"]);
        self.sift(Sieve {
            key: "runbooks",
            query: fields,
            version: self.request.version,
            strip,
            keep: &keep,
        })
        .await
    }

    pub(crate) fn mask_targets(&self, answer: Answer) -> Result<Answer, Error> {
        let is_targets = self.request.target.segments().get(..2)
            == Some(&["volume".to_owned(), "targets".to_owned()][..])
            || self.request.target.segments().last().map(String::as_str) == Some("targets");
        if !is_targets || !answer.status.is_success() || answer.body.is_empty() {
            return Ok(answer);
        }
        let mut body = resource(&answer)?;
        masks::target(&mut body, self.rules, &self.caller);
        if let Some(Value::Array(targets)) = body.get_mut("targets") {
            for target in targets.iter_mut().filter_map(Value::as_object_mut) {
                masks::target(target, self.rules, &self.caller);
            }
        }
        Ok(with_body(answer, &body))
    }

    /// Reads on until a page is full of what can be seen, and one more is known to follow.
    async fn sift(&self, sieve: Sieve<'_>) -> Result<Answer, Error> {
        let asked = self.request.query.value("limit");
        let max = self.federation.max_limit;
        // What is no number is refused by the first question.
        let limit = asked
            .and_then(|limit| limit.trim().parse().ok())
            .unwrap_or(max)
            .clamp(1, max);
        let mut shown: Vec<Value> = Vec::new();
        let mut query = sieve.query.clone();
        let mut first: Option<Answer> = None;
        let mut more = false;
        let mut last: Option<String> = None;
        'pages: loop {
            let errand = Errand::get(self.request.target.path(), query.clone(), sieve.version);
            let answer = self.send(errand).await?;
            if !answer.status.is_success() {
                return Ok(answer);
            }
            let mut page = resource(&answer)?;
            let follows = page.contains_key("next");
            let before = last.clone();
            for item in std::mem::take(items(&mut page, sieve.key)) {
                let Value::Object(item) = item else {
                    continue;
                };
                last = text(&item, "uuid").map(str::to_owned).or(last);
                if !(sieve.keep)(&item) {
                    continue;
                }
                if shown.len() == limit {
                    more = true;
                    first.get_or_insert(answer);
                    break 'pages;
                }
                shown.push(Value::Object(item));
            }
            first.get_or_insert(answer);
            // A page without identifiers cannot be followed.
            if !follows || last == before {
                break;
            }
            query = sieve
                .query
                .without(&["limit", "marker"])
                .with("limit", max.to_string())
                .with("marker", last.clone().unwrap_or_default());
        }
        let Some(answer) = first else {
            return Err(refusal::no_resource());
        };
        let mut page = Resource::new();
        let marker = marker_of(&shown);
        for item in shown.iter_mut().filter_map(Value::as_object_mut) {
            for name in &sieve.strip {
                item.remove(*name);
            }
        }
        page.insert(sieve.key.to_owned(), Value::Array(shown));
        if let Some(marker) = marker.filter(|_| more) {
            page.insert("next".to_owned(), self.next(limit, marker));
        }
        Ok(with_body(answer, &page))
    }
}

fn marker_of(items: &[Value]) -> Option<String> {
    let last = items.last()?.as_object()?;
    text(last, "uuid").map(str::to_owned)
}

fn is_at(item: &Resource, nodes: &HashMap<String, Holders>) -> bool {
    text(item, "node_uuid").is_some_and(|node| nodes.contains_key(node))
}

fn items<'p>(page: &'p mut Resource, key: &str) -> &'p mut Vec<Value> {
    let entry = page
        .entry(key.to_owned())
        .or_insert_with(|| Value::Array(Vec::new()));
    if !entry.is_array() {
        *entry = Value::Array(Vec::new());
    }
    match entry {
        Value::Array(items) => items,
        _ => unreachable!("it was just made one"),
    }
}

fn split_fields(query: &Query) -> Vec<String> {
    query
        .values("fields")
        .flat_map(|value| value.split(','))
        .map(|field| field.trim().to_owned())
        .filter(|field| !field.is_empty())
        .collect()
}

/// The query with these fields too, if it names fields; and which of them are to be taken out again.
pub(crate) fn with_fields(query: &Query, needed: &[&'static str]) -> (Query, Vec<&'static str>) {
    let mut asked = split_fields(query);
    if asked.is_empty() {
        return (query.clone(), Vec::new());
    }
    let missing: Vec<&'static str> = needed
        .iter()
        .copied()
        .filter(|name| !asked.iter().any(|field| field == name))
        .collect();
    asked.extend(missing.iter().map(|name| (*name).to_owned()));
    let fields = asked.join(",");
    (query.without(&["fields"]).with("fields", fields), missing)
}
