//! A resource as an answer shows it.

pub(crate) use crate::api::resource::Resource;
use crate::federate::Error;
use crate::request::Answer;

/// What an answer shows.
pub(crate) fn shown(answer: &Answer) -> Result<Resource, Error> {
    Resource::read(&answer.body.bytes()).map_err(|_| Error::Unreadable)
}

/// The same answer, showing this.
pub(crate) fn showing(mut answer: Answer, resource: &Resource) -> Answer {
    answer.body = resource.to_bytes().into();
    answer
}
