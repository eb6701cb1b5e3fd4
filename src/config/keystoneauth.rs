//! keystoneauth's options in a section: the credential of the gateway, and TLS.

use crate::config::credential::CredentialRef;
use crate::config::credential::DomainRef;
use crate::config::credential::KeystoneAuth;
use crate::config::credential::KeystoneMethod;
use crate::config::credential::LocationAuth;
use crate::config::credential::ProjectRef;
use crate::config::credential::Scope;
use crate::config::credential::Session;
use crate::config::credential::UserRef;
use crate::config::endpoint::Endpoint;
use crate::oslo::reader::Reader;
use crate::oslo::record::Faulted;
use crate::oslo::section::Section;

/// The plugins a daemon can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuthType {
    None,
    HttpBasic,
    AdminToken,
    Keystone(TokenBy, Flavour),
}

/// What a token is got with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenBy {
    Password,
    ApplicationCredential,
    Token,
}

/// Whether `default_domain_*` fills in missing domains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    Generic,
    V3,
}

/// The section that `auth_type` and the plugin's options are in: another one if `auth_section`
/// says so. One step only, as in keystoneauth.
pub(crate) fn auth_section(reader: &mut Reader, section: &str) -> Result<String, Faulted> {
    let Some(other) = reader.section(section).text("auth_section")? else {
        return Ok(section.to_owned());
    };
    if reader.has(&other) {
        Ok(other)
    } else {
        let text = format!("there is no section [{other}]");
        Err(reader.section(section).fault("auth_section", text))
    }
}

/// `auth_type`, of those that work here.
pub(crate) fn auth_type(section: &mut Section<'_>) -> Result<AuthType, Faulted> {
    let name = section.required(
        "auth_type",
        "write auth_type = none where no credential is asked for",
    )?;
    if let Some((_, auth_type)) = AUTH_TYPES.iter().find(|(known, _)| *known == name) {
        return Ok(*auth_type);
    }
    if let Some((known, reason)) = REFUSED.iter().find(|(known, _)| *known == name) {
        return Err(section.fault("auth_type", format!("{known} {reason}")));
    }
    let known: Vec<_> = AUTH_TYPES.iter().map(|(name, _)| *name).collect();
    Err(section.fault("auth_type", format!("must be one of {}", known.join(", "))))
}

/// The credential of a location.
pub(crate) fn location_auth(
    section: &mut Section<'_>,
    auth_type: AuthType,
) -> Result<LocationAuth, Faulted> {
    match auth_type {
        AuthType::None => Ok(LocationAuth::None),
        AuthType::HttpBasic => {
            let username = section.required("username", "auth_type http_basic needs a user");
            let password = section.secret("password", "auth_type http_basic needs a password");
            let username = username?;
            // RFC 7617 2: the first colon ends the user-id.
            if username.contains(':') {
                return Err(section.fault("username", "must not hold a colon"));
            }
            Ok(LocationAuth::HttpBasic {
                username,
                password: password?,
            })
        }
        AuthType::AdminToken => {
            let token = section.secret("token", "auth_type admin_token needs it");
            token.map(LocationAuth::AdminToken)
        }
        AuthType::Keystone(by, flavour) => {
            keystone_auth(section, by, flavour).map(LocationAuth::Keystone)
        }
    }
}

/// How to get a token.
pub(crate) fn keystone_auth(
    section: &mut Section<'_>,
    by: TokenBy,
    flavour: Flavour,
) -> Result<KeystoneAuth, Faulted> {
    let auth_url = auth_url(section);
    let default_domain = match flavour {
        // keystoneauth's `v3*` plugins have no default domain; the generic ones do.
        Flavour::Generic => domain(section, "default_domain_id", "default_domain_name")?,
        Flavour::V3 => None,
    };
    let method = match by {
        TokenBy::Password => password(section, default_domain.as_ref()),
        TokenBy::ApplicationCredential => application_credential(section),
        TokenBy::Token => section
            .secret("token", "the auth_type needs it")
            .map(KeystoneMethod::Token),
    };
    let scope = match by {
        // Keystone refuses an application credential that asks for a scope: it brings the one it was made with.
        TokenBy::ApplicationCredential => Ok(Scope::Unscoped),
        TokenBy::Token => scope(section, default_domain).map(|s| s.unwrap_or(Scope::Unscoped)),
        TokenBy::Password => match scope(section, default_domain) {
            Ok(Some(scope)) => Ok(scope),
            // An unscoped token has no roles, so every request with it would be a 403 of the location.
            Ok(None) => Err(section.missing(
                "system_scope",
                "a token needs a scope: system_scope = all, or a project, a domain or a trust",
            )),
            Err(faulted) => Err(faulted),
        },
    };
    Ok(KeystoneAuth {
        auth_url: auth_url?,
        method: method?,
        scope: scope?,
    })
}

/// TLS options.
pub(crate) fn session(section: &mut Section<'_>) -> Result<Session, Faulted> {
    let cafile = section.file("cafile");
    let certfile = section.file("certfile");
    let insecure = section.flag("insecure");
    // keystoneauth ignores a key without a certificate.
    let keyfile = if section.sets("certfile") {
        section.file("keyfile")
    } else {
        Ok(None)
    };
    if matches!(insecure, Ok(true)) {
        section.warn("insecure", "no certificate is verified");
    }
    Ok(Session {
        cafile: cafile?,
        certfile: certfile?,
        keyfile: keyfile?,
        insecure: insecure?,
    })
}

fn auth_url(section: &mut Section<'_>) -> Result<String, Faulted> {
    let text = section.required("auth_url", "where the Keystone is")?;
    match Endpoint::whole(text.trim()) {
        Ok(url) => Ok(identity_v3(url)),
        Err(error) => Err(section.fault("auth_url", error)),
    }
}

/// keystoneauth finds v3 by discovery; the path says the same without a request.
fn identity_v3(mut url: Endpoint) -> String {
    let root = ["/v3", "/v2.0"]
        .iter()
        .find_map(|version| url.prefix.strip_suffix(version));
    if let Some(root) = root {
        url.prefix = root.to_owned();
    }
    format!("{url}/v3/")
}

fn password(
    section: &mut Section<'_>,
    default_domain: Option<&DomainRef>,
) -> Result<KeystoneMethod, Faulted> {
    let user = user(section, default_domain);
    let password = section.secret("password", "the auth_type needs it");
    Ok(KeystoneMethod::Password {
        user: user?,
        password: password?,
    })
}

fn application_credential(section: &mut Section<'_>) -> Result<KeystoneMethod, Faulted> {
    let secret = section.secret("application_credential_secret", "the auth_type needs it");
    let credential = match section.text("application_credential_id") {
        Ok(Some(id)) => Ok(CredentialRef::Id(id)),
        Ok(None) => named_credential(section),
        Err(faulted) => Err(faulted),
    };
    Ok(KeystoneMethod::ApplicationCredential {
        credential: credential?,
        secret: secret?,
    })
}

fn named_credential(section: &mut Section<'_>) -> Result<CredentialRef, Faulted> {
    match section.text("application_credential_name")? {
        Some(name) => Ok(CredentialRef::Name {
            name,
            user: user(section, None)?,
        }),
        None => Err(section.missing(
            "application_credential_id",
            "the auth_type needs it, or application_credential_name and its user",
        )),
    }
}

fn user(section: &mut Section<'_>, default_domain: Option<&DomainRef>) -> Result<UserRef, Faulted> {
    let domain = domain(section, "user_domain_id", "user_domain_name")?;
    let name = section.text("username")?;
    // As keystoneauth: an id wins over a name, and needs no domain.
    if let Some(id) = section.text("user_id")? {
        return Ok(UserRef::Id(id));
    }
    let Some(name) = name else {
        let text = "the auth_type needs it, or user_id";
        return Err(section.missing("username", text));
    };
    match domain.or_else(|| default_domain.cloned()) {
        Some(domain) => Ok(UserRef::Name { name, domain }),
        None => Err(section.missing(
            "user_domain_name",
            "a username needs its domain, by name or as user_domain_id",
        )),
    }
}

fn domain(section: &mut Section<'_>, id: &str, name: &str) -> Result<Option<DomainRef>, Faulted> {
    let by_name = section.text(name)?;
    let by_id = section.text(id)?;
    // Both are read, so that a fault in the one that loses is reported too.
    Ok(by_id.map(DomainRef::Id).or(by_name.map(DomainRef::Name)))
}

fn scope(
    section: &mut Section<'_>,
    default_domain: Option<DomainRef>,
) -> Result<Option<Scope>, Faulted> {
    let system = match section.text("system_scope")?.as_deref() {
        None => None,
        Some("all") => Some(Scope::System),
        Some(_) => return Err(section.fault("system_scope", "can only be all")),
    };
    let project = project(section, default_domain)?.map(Scope::Project);
    let domain = domain(section, "domain_id", "domain_name")?.map(Scope::Domain);
    let trust = section.text("trust_id")?.map(Scope::Trust);
    let mut scopes = [system, project, domain, trust].into_iter().flatten();
    let first = scopes.next();
    if scopes.next().is_none() {
        return Ok(first);
    }
    let option = SCOPE_OPTIONS.iter().find(|option| section.sets(option));
    let option = option.unwrap_or(&SCOPE_OPTIONS[0]);
    Err(section.fault(
        option,
        "two scopes at once; pick one of: project, domain, trust, system or unscoped",
    ))
}

fn project(
    section: &mut Section<'_>,
    default_domain: Option<DomainRef>,
) -> Result<Option<ProjectRef>, Faulted> {
    let domain = domain(section, "project_domain_id", "project_domain_name")?;
    let name = section.text("project_name")?;
    if let Some(id) = section.text("project_id")? {
        return Ok(Some(ProjectRef::Id(id)));
    }
    let Some(name) = name else {
        return Ok(None);
    };
    match domain.or(default_domain) {
        Some(domain) => Ok(Some(ProjectRef::Name { name, domain })),
        None => Err(section.missing(
            "project_domain_name",
            "a project_name needs its domain, by name or as project_domain_id",
        )),
    }
}

const AUTH_TYPES: [(&str, AuthType); 8] = {
    use AuthType::{AdminToken, HttpBasic, Keystone, None};
    use Flavour::{Generic, V3};
    use TokenBy::{ApplicationCredential, Password, Token};
    [
        ("none", None),
        ("http_basic", HttpBasic),
        ("admin_token", AdminToken),
        ("password", Keystone(Password, Generic)),
        ("v3password", Keystone(Password, V3)),
        (
            "v3applicationcredential",
            Keystone(ApplicationCredential, V3),
        ),
        ("token", Keystone(Token, Generic)),
        ("v3token", Keystone(Token, V3)),
    ]
};

const REFUSED: [(&str, &str); 13] = {
    const V2: &str = "speaks Identity v2, which no Keystone has any more; use password";
    const PERSON: &str = "needs a person at each log-in; use v3applicationcredential";
    const ABSENT: &str = "is not supported; use v3applicationcredential or password";
    [
        ("v2password", V2),
        ("v2token", V2),
        ("v3totp", PERSON),
        ("v3multifactor", PERSON),
        ("v3oidcauthcode", PERSON),
        ("v3oidcdeviceauthz", PERSON),
        ("v3websso", PERSON),
        ("v3oauth2clientcredential", ABSENT),
        ("v3oauth2mtlsclientcredential", ABSENT),
        ("v3oidcaccesstoken", ABSENT),
        ("v3oidcclientcredentials", ABSENT),
        ("v3oidcpassword", ABSENT),
        ("v3tokenlessauth", ABSENT),
    ]
};

const SCOPE_OPTIONS: [&str; 6] = [
    "system_scope",
    "trust_id",
    "domain_id",
    "domain_name",
    "project_id",
    "project_name",
];
