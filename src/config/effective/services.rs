//! Section `legacy`: sources that are services one asks, Okta apart.

use std::path::Path;

use super::whole;
use crate::config::{
    AccountStore, CallRate, HttpFields, HttpMeaning, HttpSource, Pointer, StormpathSource, UrlTemplate,
    raw::{self, Span},
};

pub(super) fn stormpath(
    source: &StormpathSource,
    raw: Option<&raw::Stormpath>,
    base: &Path,
) -> raw::Stormpath {
    raw::Stormpath {
        url: Some(source.url.to_string()),
        api_key_id: whole(raw.and_then(|raw| raw.api_key_id.as_ref()), base),
        api_key_secret: whole(raw.and_then(|raw| raw.api_key_secret.as_ref()), base),
        account_store: source.account_store.as_ref().map(|store| match store {
            AccountStore::Href(href) => raw::AccountStore::Href(href.clone()),
            AccountStore::NameKey(key) => raw::AccountStore::NameKey(key.clone()),
        }),
        organization_field: text(source.organization_field.as_ref()),
    }
}

pub(super) fn call_rate(rate: CallRate) -> raw::CallRate {
    raw::CallRate { calls: Some(rate.calls), per: Some(Span(rate.per)) }
}

pub(super) fn http(source: &HttpSource, raw: Option<&raw::HttpEndpoint>, base: &Path) -> raw::HttpEndpoint {
    let template =
        |template: &Option<UrlTemplate>| template.as_ref().map(|template| template.as_str().to_owned());
    let check = &source.check;
    let answers = check.answers.iter().map(|answer| raw::HttpAnswer {
        status: Some(answer.status.clone()),
        json: answer.json.as_ref().map(|(pointer, equals)| raw::JsonSignal {
            pointer: Some(pointer.0.clone()),
            equals: Some(equals.clone()),
        }),
        means: Some(meaning(answer.means)),
    });
    raw::HttpEndpoint {
        url: Some(source.url.to_string()),
        auth: raw.and_then(|raw| auth(raw.auth.as_ref(), base)),
        find: template(&source.find),
        find_by_id: template(&source.find_by_id),
        find_by_email: template(&source.find_by_email),
        list: text(source.list.as_ref()),
        nobody: Some(source.nobody.clone()),
        check: Some(raw::HttpCheck {
            path: Some(check.path.as_str().to_owned()),
            password: Some(check.password.clone()),
            name: check.name.clone(),
            names_person: Some(check.names_person),
            answers: Some(answers.collect()),
        }),
        fields: Some(fields(&source.fields)),
    }
}

fn auth(raw: Option<&raw::HttpAuth>, base: &Path) -> Option<raw::HttpAuth> {
    Some(match raw? {
        raw::HttpAuth::Bearer(token) => raw::HttpAuth::Bearer(whole(Some(token), base)?),
        raw::HttpAuth::Basic(basic) => raw::HttpAuth::Basic(raw::HttpBasic {
            user: basic.user.clone(),
            password: whole(basic.password.as_ref(), base),
        }),
        raw::HttpAuth::Header(header) => raw::HttpAuth::Header(raw::HttpHeader {
            name: header.name.clone(),
            value: whole(header.value.as_ref(), base),
        }),
    })
}

fn fields(fields: &HttpFields) -> raw::HttpFields {
    raw::HttpFields {
        id: Some(fields.id.0.clone()),
        login: text(fields.login.as_ref()),
        email: Some(fields.email.0.clone()),
        email_verified: text(fields.email_verified.as_ref()),
        given_name: text(fields.given_name.as_ref()),
        family_name: text(fields.family_name.as_ref()),
        full_name: text(fields.full_name.as_ref()),
        locale: text(fields.locale.as_ref()),
        organization: text(fields.organization.as_ref()),
        roles: text(fields.roles.as_ref()),
        active: text(fields.active.as_ref()),
        disabled: text(fields.disabled.as_ref()),
        locked: text(fields.locked.as_ref()),
        must_change: text(fields.must_change.as_ref()),
    }
}

fn text(pointer: Option<&Pointer>) -> Option<String> {
    pointer.map(|pointer| pointer.0.clone())
}

fn meaning(means: HttpMeaning) -> raw::HttpMeaning {
    match means {
        HttpMeaning::Right => raw::HttpMeaning::Right,
        HttpMeaning::Wrong => raw::HttpMeaning::Wrong,
        HttpMeaning::Unknown => raw::HttpMeaning::Unknown,
        HttpMeaning::Locked => raw::HttpMeaning::Locked,
        HttpMeaning::Disabled => raw::HttpMeaning::Disabled,
        HttpMeaning::PasswordExpired => raw::HttpMeaning::PasswordExpired,
        HttpMeaning::MustChange => raw::HttpMeaning::MustChange,
        HttpMeaning::Mfa => raw::HttpMeaning::Mfa,
        HttpMeaning::Pending => raw::HttpMeaning::Pending,
    }
}
