//! The story of one migration, played and checked scene by scene.

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use super::{
    browser::{Browser, Page},
    people::{ANN, BEN, CAT, MAX, NEW_EMAIL, OLA, PASSWORD, Sample, TESS, UNA},
    stage::{Actor, Stage},
    tell::{scene, seen},
};

/// The application's host, whose cookies are looked at.
const HOST: &str = "app.localhost";
/// The application's own session cookie, and ours.
const LEGACY_COOKIE: &str = "app_session";
const OUR_COOKIE: &str = "crossfade";

/// Plays everything; returns how many scenes there were.
pub(super) async fn play(stage: &mut Stage) -> anyhow::Result<usize> {
    let mut story = Story { stage, scenes: 0 };
    story.nothing_changes_at_zero().await?;
    story.people_are_created_and_nobody_notices().await?;
    story.some_people_stay().await?;
    story.a_wrong_password_creates_nobody().await?;
    story.the_new_flow().await?;
    story.the_second_sign_in().await?;
    story.okta_checks_the_password().await?;
    story.legacy_down().await?;
    story.scalekit_down().await?;
    story.somebody_new().await?;
    story.the_percentage_goes_down_and_up().await?;
    Ok(story.scenes)
}

struct Story<'a> {
    stage: &'a mut Stage,
    scenes: usize,
}

impl Story<'_> {
    fn begin(&mut self, title: &str) {
        self.scenes += 1;
        scene(self.scenes, title);
    }

    async fn nothing_changes_at_zero(&mut self) -> anyhow::Result<()> {
        self.begin("0 %: Crossfade is in front, and nothing changes");
        let mut browser = Browser::new()?;
        let home = self.sign_in(&mut browser, &ANN, PASSWORD).await?;
        Self::is_signed_in_to_the_application(&browser, &home, &ANN)?;
        seen("Ann signs in on the application's own form and sees the application");
        ensure!(browser.cookie(HOST, OUR_COOKIE).is_none(), "Crossfade set a session cookie at 0 %");
        ensure!(self.stage.users().await?.is_empty(), "a user exists in Scalekit at 0 %");
        seen("no cookie of ours, and nobody exists in Scalekit");
        Ok(())
    }

    async fn people_are_created_and_nobody_notices(&mut self) -> anyhow::Result<()> {
        self.begin("migrate 100 %, cutover 0 %: people are created, and nobody notices");
        self.stage.turn_dial("0%", "100%").await?;
        for person in [&ANN, &BEN] {
            let mut browser = Browser::new()?;
            let home = self.sign_in(&mut browser, person, PASSWORD).await?;
            Self::is_signed_in_to_the_application(&browser, &home, person)?;
            let user = self.user_soon(person.email).await?;
            ensure!(user["external_id"] == format!("app:{}", person.id), "wrong external id: {user}");
            ensure!(user["email_verified"] == true, "the e-mail is not verified: {user}");
            seen(&format!("{} signs in as ever, and is in Scalekit as app:{}", person.name, person.id));
        }
        let again = self.sign_in(&mut Browser::new()?, &ANN, PASSWORD).await?;
        ensure!(again.status == 200, "Ann's next sign-in shows {}", again.status);
        self.has_users(2).await?;
        seen("a second sign-in creates nobody twice");
        Ok(())
    }

    async fn some_people_stay(&mut self) -> anyhow::Result<()> {
        self.begin("100 %: who cannot move truthfully stays, and notices nothing");
        self.stage.turn_dial("100%", "100%").await?;
        let mut browser = Browser::new()?;
        let home = self.sign_in(&mut browser, &UNA, PASSWORD).await?;
        Self::is_signed_in_to_the_application(&browser, &home, &UNA)?;
        seen("Una's e-mail was never verified: she stays with the application");
        let mut browser = Browser::new()?;
        let code = self.sign_in(&mut browser, &MAX, PASSWORD).await?;
        ensure!(
            code.url.path() == "/mfa",
            "Max was not asked for his second factor, but sent to {}",
            code.url
        );
        let home = browser.submit(&code, &[("code", "123456")]).await?;
        Self::is_signed_in_to_the_application(&browser, &home, &MAX)?;
        seen("Max has a second factor: the application asks for it, and he stays");
        let mut browser = Browser::new()?;
        let home = self.sign_in(&mut browser, &TESS, PASSWORD).await?;
        Self::is_signed_in_to_the_application(&browser, &home, &TESS)?;
        seen("Tess has a twin by case: nobody is moved by guessing");
        self.has_users(2).await?;
        Ok(())
    }

    async fn a_wrong_password_creates_nobody(&mut self) -> anyhow::Result<()> {
        self.begin("a wrong password and an unknown name look the same, and create nobody");
        let wrong = self.sign_in(&mut Browser::new()?, &CAT, "not it").await?;
        let unknown = self.sign_in_as(&mut Browser::new()?, "nobody@example.com", "not it").await?;
        for page in [&wrong, &unknown] {
            let target = &page.url[url::Position::BeforePath..];
            ensure!(target == "/login?error=credentials", "a refused sign-in leads to {target}");
        }
        seen("both lead back to the form with the same words");
        self.has_users(2).await?;
        seen("nobody new in Scalekit");
        Ok(())
    }

    async fn the_new_flow(&mut self) -> anyhow::Result<()> {
        self.begin("cutover: Ann takes the new flow");
        let mut browser = Browser::new()?;
        let hosted = self.sign_in(&mut browser, &ANN, PASSWORD).await?;
        ensure!(
            hosted.url.host_str() == Some("scalekit.localhost"),
            "Ann did not get to Scalekit, but to {}",
            hosted.url
        );
        seen("her password leads to Scalekit's page, her address already filled in");
        let home = self.confirm_mailbox(&mut browser, hosted, ANN.email).await?;
        Self::is_in_a_new_session(&browser, &home, &ANN)?;
        seen("Scalekit checks the mailbox; she is signed in, and the application is told who she is");
        ensure!(
            browser.cookie(HOST, LEGACY_COOKIE).is_none(),
            "the application's old session cookie is still there"
        );
        seen("the application's own session cookie is gone");
        Ok(())
    }

    async fn the_second_sign_in(&mut self) -> anyhow::Result<()> {
        self.begin("the second time, the device knows her and the old password opens nothing");
        let mut browser = Browser::new()?;
        let hosted = self.sign_in(&mut browser, &ANN, PASSWORD).await?;
        self.confirm_mailbox(&mut browser, hosted, ANN.email).await?;
        let out = browser.open(&self.stage.public()?.join(".crossfade/logout")?).await?;
        ensure!(browser.cookie(HOST, OUR_COOKIE).is_none(), "signing out left the session cookie");
        ensure!(out.way.iter().any(|url| url.path() == "/oidc/logout"), "Scalekit's session was not ended");
        seen("signing out ends both sessions");
        let page = browser.open(&self.stage.public()?.join("login")?).await?;
        ensure!(page.url.host_str() == Some("scalekit.localhost"), "the device led to {}", page.url);
        seen("the form's address leads straight to Scalekit");
        let form = browser.open(&self.stage.public()?.join("login?crossfade=form")?).await?;
        ensure!(form.url.host_str() == Some(HOST), "?crossfade=form led to {}", form.url);
        seen("?crossfade=form brings the form back");
        let before = self.stage.password_checks(Actor::App).await?;
        let typed = self.sign_in_as(&mut Browser::new()?, ANN.email, "anything").await?;
        ensure!(
            typed.url.host_str() == Some("scalekit.localhost"),
            "a crossed person was led to {}",
            typed.url
        );
        ensure!(self.stage.password_checks(Actor::App).await? == before, "the application was asked");
        seen("on another device her name alone leads to Scalekit; no password is looked at any more");
        self.has_users(2).await
    }

    async fn okta_checks_the_password(&mut self) -> anyhow::Result<()> {
        self.begin("Ola lives at Okta: it checks the password, once");
        let before = self.stage.password_checks(Actor::Okta).await?;
        let mut browser = Browser::new()?;
        let hosted = self.sign_in(&mut browser, &OLA, PASSWORD).await?;
        let checks = self.stage.password_checks(Actor::Okta).await? - before;
        ensure!(checks == 1, "Okta was asked {checks} times");
        let user = self.user_soon(OLA.email).await?;
        ensure!(user["external_id"] == format!("okta:00u{}", OLA.id), "wrong external id: {user}");
        let home = self.confirm_mailbox(&mut browser, hosted, OLA.email).await?;
        ensure!(home.status == 200, "Ola sees {}", home.status);
        seen("one question to Okta, one user in Scalekit, one new session");
        Ok(())
    }

    async fn legacy_down(&mut self) -> anyhow::Result<()> {
        self.begin("Okta is down: nobody is let in unchecked, and nobody is told \"wrong password\"");
        self.stage.break_down(Actor::Okta, &json!({"kind": "down"})).await?;
        let page = self.sign_in_as(&mut Browser::new()?, "eva@okta-people.example", PASSWORD).await?;
        ensure!(page.status == 503, "the answer is {}", page.status);
        ensure!(page.text.contains("/.crossfade/initiate"), "the mailbox sign-in is not offered");
        seen("503, with the offer to sign in by mailbox");
        self.stage.mend(Actor::Okta).await
    }

    async fn scalekit_down(&mut self) -> anyhow::Result<()> {
        self.begin("Scalekit is down: Cat signs in to the application, and moves the next time");
        self.stage.break_down(Actor::Scalekit, &json!({"kind": "down", "path": "/api"})).await?;
        let mut browser = Browser::new()?;
        let home = self.sign_in(&mut browser, &CAT, PASSWORD).await?;
        Self::is_signed_in_to_the_application(&browser, &home, &CAT)?;
        seen("she is in the application, unhindered");
        self.stage.mend(Actor::Scalekit).await?;
        self.stage
            .break_down(
                Actor::Scalekit,
                &json!({
                    "kind": "lost", "method": "POST", "path": "/api/v1/organizations/", "times": 1,
                }),
            )
            .await?;
        let mut browser = Browser::new()?;
        let page = self.sign_in(&mut browser, &CAT, PASSWORD).await?;
        self.stage.mend(Actor::Scalekit).await?;
        ensure!(page.url.host_str() == Some("scalekit.localhost"), "Cat was led to {}", page.url);
        let cats = self.users_with(CAT.email).await?;
        ensure!(cats.len() == 1, "Cat exists {} times", cats.len());
        seen("back again, it creates her and its answer is lost: she is found, not created twice");
        Ok(())
    }

    async fn somebody_new(&mut self) -> anyhow::Result<()> {
        self.begin("Nina is new: no legacy store knows her");
        let mut browser = Browser::new()?;
        let hosted = browser.open(&self.stage.public()?.join(".crossfade/initiate")?).await?;
        let home = self.confirm_mailbox(&mut browser, hosted, NEW_EMAIL).await?;
        ensure!(home.status == 200, "Nina sees {}", home.status);
        ensure!(
            home.text.contains("new:usr_"),
            "the application was not told a name that no legacy login can equal"
        );
        seen("she signs up at Scalekit and is known by a name that no legacy login can equal");
        Ok(())
    }

    async fn the_percentage_goes_down_and_up(&mut self) -> anyhow::Result<()> {
        self.begin("the percentage goes down to 0 % and up again: nobody is stranded, nobody doubled");
        let before = self.stage.users().await?.len();
        self.stage.turn_dial("0%", "0%").await?;
        let mut browser = Browser::new()?;
        let home = self.sign_in(&mut browser, &BEN, PASSWORD).await?;
        Self::is_signed_in_to_the_application(&browser, &home, &BEN)?;
        seen("Ben, who never took the new flow, signs in to the application");
        for email in [ANN.email, NEW_EMAIL] {
            let page = self.sign_in_as(&mut Browser::new()?, email, PASSWORD).await?;
            ensure!(page.url.host_str() == Some("scalekit.localhost"), "{email} was led to {}", page.url);
        }
        seen("Ann, who crossed, and Nina, who was never anywhere else, keep the new flow");
        self.stage.turn_dial("100%", "100%").await?;
        let mut browser = Browser::new()?;
        let hosted = self.sign_in(&mut browser, &BEN, PASSWORD).await?;
        let home = self.confirm_mailbox(&mut browser, hosted, BEN.email).await?;
        Self::is_in_a_new_session(&browser, &home, &BEN)?;
        seen("up again, Ben takes it, too");
        self.has_users(before).await
    }

    async fn sign_in(&self, browser: &mut Browser, person: &Sample, password: &str) -> anyhow::Result<Page> {
        self.sign_in_as(browser, person.email, password).await
    }

    /// Opens the form and sends it.
    async fn sign_in_as(&self, browser: &mut Browser, email: &str, password: &str) -> anyhow::Result<Page> {
        let form = browser.open(&self.stage.public()?.join("login?next=/")?).await?;
        browser.submit(&form, &[("email", email), ("password", password)]).await
    }

    /// Goes through Scalekit's pages with the mailed code.
    async fn confirm_mailbox(
        &self,
        browser: &mut Browser,
        hosted: Page,
        email: &str,
    ) -> anyhow::Result<Page> {
        let code_page = browser.submit(&hosted, &[("email", email)]).await?;
        let code = self.stage.mailed_code(email).await?;
        browser.submit(&code_page, &[("code", &code)]).await
    }

    fn is_signed_in_to_the_application(
        browser: &Browser,
        page: &Page,
        person: &Sample,
    ) -> anyhow::Result<()> {
        ensure!(page.status == 200, "{} sees {} at {}", person.name, page.status, page.url);
        ensure!(
            page.url.host_str() == Some(HOST) && page.url.path() == "/",
            "{} was led to {}",
            person.name,
            page.url
        );
        ensure!(browser.cookie(HOST, LEGACY_COOKIE).is_some(), "{} has no session there", person.name);
        ensure!(browser.cookie(HOST, OUR_COOKIE).is_none(), "{} has a session of ours", person.name);
        ensure!(page.text.contains(person.email), "the application does not show {}", person.email);
        Ok(())
    }

    fn is_in_a_new_session(browser: &Browser, page: &Page, person: &Sample) -> anyhow::Result<()> {
        ensure!(page.status == 200, "{} sees {} at {}", person.name, page.status, page.url);
        ensure!(page.url.host_str() == Some(HOST), "{} was led to {}", person.name, page.url);
        ensure!(browser.cookie(HOST, OUR_COOKIE).is_some(), "{} has no session of ours", person.name);
        ensure!(
            page.text.contains(person.email) && page.text.contains("assertion"),
            "the application was not told that it is {}: {}",
            person.email,
            page.text
        );
        Ok(())
    }

    async fn users_with(&self, email: &str) -> anyhow::Result<Vec<Value>> {
        let users = self.stage.users().await?;
        Ok(users.into_iter().filter(|user| user["email"] == email).collect())
    }

    /// The one Scalekit user of an address. In the legacy lane the answer may be quicker than the migration.
    async fn user_soon(&self, email: &str) -> anyhow::Result<Value> {
        for _ in 0..100 {
            let mut found = self.users_with(email).await?;
            match found.len() {
                0 => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
                1 => return found.pop().context("one user"),
                many => bail!("{email} exists {many} times in Scalekit"),
            }
        }
        bail!("{email} does not appear in Scalekit")
    }

    async fn has_users(&self, wanted: usize) -> anyhow::Result<()> {
        let users = self.stage.users().await?.len();
        ensure!(users == wanted, "Scalekit has {users} users and should have {wanted}");
        Ok(())
    }
}
