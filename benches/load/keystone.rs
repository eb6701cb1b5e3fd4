//! A simulated Keystone: whatever token it is shown is an administrator's of the system, or a member's of one project.

use std::io;
use std::net::SocketAddr;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use crate::simulated::next_head;

/// Tokens by what they say.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const MEMBER: &str = "member";
/// The owner of half of the simulated nodes (`benches/corpus/nodes.rs`); the others are nobody's, and masked.
const PROJECT: &str = "0f53e6ea4f4c4b8a9ac4b0f0e5b4a8e1";

/// Begins to answer on a free port; it lives as long as the runtime.
pub(crate) fn start(runtime: &Handle) -> io::Result<SocketAddr> {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that breaks is its client's business.
            tokio::spawn(async move { serve(stream, address).await.ok() });
        }
    });
    Ok(address)
}

/// How the gateway is told of it.
pub(crate) fn section(keystone: SocketAddr) -> String {
    format!(
        "[keystone_authtoken]\nauth_type = v3password\nauth_url = http://{keystone}/v3\nusername = gateway\n\
         password = secret\nuser_domain_id = default\nsystem_scope = all\n"
    )
}

async fn serve(mut stream: TcpStream, own: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    while let Some(head) = next_head(&mut stream, &mut received).await? {
        let issues = head.starts_with("POST");
        let is_member = head.lines().any(|line| {
            line.split_once(": ").is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("x-subject-token") && value == MEMBER
            })
        });
        let (scope, role) = if is_member {
            let domain = r#""domain": {"id": "default", "name": "Default"}"#;
            let project = format!(r#""project": {{"id": "{PROJECT}", "name": "load", {domain}}}"#);
            (project, "member")
        } else {
            (r#""system": {"all": true}"#.to_owned(), "admin")
        };
        let body = format!(
            r#"{{"token": {{"methods": ["password"], "user": {{"id": "u", "name": "u", "domain": {{"id": "default", "name": "Default"}}}}, {scope}, "roles": [{{"id": "1", "name": "{role}"}}, {{"id": "2", "name": "reader"}}], "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2126-01-01T00:00:00.000000Z", "catalog": [{{"type": "identity", "name": "keystone", "id": "3", "endpoints": [{{"interface": "internal", "url": "http://{own}/v3", "region": "R", "region_id": "R", "id": "4"}}]}}]}}}}"#
        );
        let (status, token) = if issues {
            ("201 Created", "X-Subject-Token: gateway\r\n")
        } else {
            ("200 OK", "")
        };
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 {status}\r\n{token}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
