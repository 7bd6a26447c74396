"""What the user does with servers: add, change, copy, share, delete; files and keys in a worker."""

from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QDialog, QMessageBox, QWidget
from shiboken6 import isValid

from mqvpn_gui.app.background import Background
from mqvpn_gui.app.connection_test import ConnectionTest, TrialResult
from mqvpn_gui.app.importing import Found, found_in_file, found_in_picture, found_in_text
from mqvpn_gui.user.errors import SecretError, UserError
from mqvpn_gui.user.profile_links import link_from_profile
from mqvpn_gui.user.profile_store import ProfileStore
from mqvpn_gui.user.profile_text import StoredProfile
from mqvpn_gui.user.secret_store import SecretStore
from mqvpn_gui.user.secret_text import SecretText
from mqvpn_gui.windows.add_server import AddServerDialog
from mqvpn_gui.windows.profile_editor import ProfileEditor
from mqvpn_gui.windows.servers_page import ServersPage
from mqvpn_gui.windows.share_dialog import ShareDialog
from mqvpn_gui.words.messages import sentences, told, told_error
from mqvpn_helper.interface.profile import Profile


class ServersDesk(QObject):
    """Does what the page of servers asks for.

    C: `add`, `edit`, `read_names`.
    """

    names_changed = Signal(tuple)
    """The servers there are now."""
    connect_wanted = Signal(str)
    """Connect with this one."""
    failed = Signal(str, str)
    """Problem and advice."""

    def __init__(
        self,
        background: Background,
        profiles: ProfileStore,
        secrets: SecretStore,
        page: ServersPage,
        trial: ConnectionTest,
    ) -> None:
        """Listen to the page.

        Args:
            background: for files and keyring.
            profiles: the servers.
            secrets: their keys.
            page: the list of servers.
            trial: tries a server before it is kept.
        """
        super().__init__(page)
        self._background = background
        self._profiles = profiles
        self._secrets = secrets
        self._page = page
        self._trial = trial
        self._found: Found | None = None
        page.add_wanted.connect(self.add)
        page.connect_wanted.connect(self.connect_wanted)
        page.edit_wanted.connect(self.edit)
        page.duplicate_wanted.connect(self._duplicate)
        page.share_wanted.connect(self._share)
        page.delete_wanted.connect(self._delete)

    def read_names(self) -> None:
        """Read the names of the servers anew."""
        self._background.run(self._profiles.names, self.names_changed.emit, self._fail)

    def add(self, link: str = "") -> AddServerDialog:
        """Ask for a server.

        Args:
            link: one that the user has opened already.
        """
        self._found = None
        dialog = AddServerDialog(self._window)
        self._read_for(dialog)
        dialog.accepted_as.connect(
            lambda name, connects: self._keep_found(dialog, name, connects=connects)
        )
        self._offer_trial(dialog)
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()
        if link:
            dialog.give_text(link)
        return dialog

    def edit(self, name: str) -> None:
        """Let the user change a server."""
        self._background.run(
            lambda: self._profiles.read(name),
            lambda stored: self._open_editor(name, stored),
            self._fail,
        )

    @property
    def _window(self) -> QWidget:
        """The owner of all dialogues."""
        return self._page.window()

    def _read_for(self, dialog: AddServerDialog) -> None:
        """Read in a worker what a dialogue is given."""
        store = self._profiles

        def on_found(found: Found) -> None:
            if not _is_open(dialog):
                return
            self._found = found
            settings = found.stored.settings
            dialog.show_found(
                found.name,
                settings.server,
                self._checks(settings),
                tuple(sentences(each) for each in found.notes),
                has_key=found.secret is not None,
            )

        def on_error(error: UserError) -> None:
            if _is_open(dialog):
                self._found = None
                dialog.show_problem(told_error(error))

        def read_text(text: str) -> None:
            self._background.run(lambda: found_in_text(text, store), on_found, on_error)

        def read_file(path: str) -> None:
            self._background.run(lambda: found_in_file(Path(path), store), on_found, on_error)

        def read_picture(picture: QImage) -> None:
            self._background.run(lambda: found_in_picture(picture, store), on_found, on_error)

        dialog.text_given.connect(read_text)
        dialog.file_given.connect(read_file)
        dialog.picture_given.connect(read_picture)

    def _keep_found(self, dialog: AddServerDialog, name: str, *, connects: bool) -> None:
        found = self._found
        if found is None:
            return

        def on_error(error: UserError) -> None:
            if _is_open(dialog):
                dialog.show_refusal(told_error(error))
            else:
                self._fail(error)

        self._background.run(
            lambda: self._keep(name, found),
            lambda problem: self._on_kept(dialog, name, problem, connects=connects),
            on_error,
        )

    def _offer_trial(self, dialog: AddServerDialog) -> None:
        trial = self._trial

        def start() -> None:
            found = self._found
            if found is not None and found.secret is not None:
                trial.start(found.stored.settings, found.secret)

        def show(result: TrialResult) -> None:
            dialog.show_trial(result.text, is_good=result.is_good)

        def leave() -> None:
            trial.ended.disconnect(show)
            trial.cancel()

        dialog.trial_wanted.connect(start)
        trial.ended.connect(show)
        dialog.finished.connect(leave)

    def _keep(self, name: str, found: Found) -> SecretError | None:
        """Keep a server, in a worker; the profile stays also where the keyring does not work."""
        self._profiles.write(name, found.stored, overwrite=False)
        if found.secret is None:
            return None
        try:
            self._secrets.write(name, found.secret)
        except SecretError as error:
            return error
        return None

    def _on_kept(
        self, dialog: AddServerDialog, name: str, problem: SecretError | None, *, connects: bool
    ) -> None:
        if _is_open(dialog):
            dialog.accept()
            self._found = None
        self.read_names()
        if problem is not None:
            self.failed.emit(
                self.tr("The server is saved, its key is not: {0}").format(told(problem.problem)),
                self.tr("You will be asked for the key each time."),
            )
        elif connects:
            self.connect_wanted.emit(name)

    def _open_editor(self, name: str, stored: StoredProfile) -> None:
        editor = ProfileEditor(name, stored.settings, self._window)

        def save(profile: Profile, key: str) -> None:
            def work() -> None:
                changed = replace(stored, settings=profile)
                self._profiles.write(name, changed, overwrite=True)
                if key:
                    self._secrets.write(name, SecretText(key))

            self._background.run(work, lambda _: self.read_names(), self._fail)

        editor.saved.connect(save)
        editor.finished.connect(editor.deleteLater)
        editor.open()

    def _duplicate(self, name: str) -> None:
        def work() -> None:
            stored = self._profiles.read(name)
            other = self._profiles.free_name(name)
            self._profiles.write(other, stored, overwrite=False)
            secret = self._secrets.read(name)
            if secret is not None:
                self._secrets.write(other, secret)

        self._background.run(work, lambda _: self.read_names(), self._fail)

    def _share(self, name: str) -> None:
        def work() -> tuple[str, bool]:
            stored = self._profiles.read(name)
            try:
                secret = self._secrets.read(name)
            except SecretError:
                secret = None  # the link is of use without a key as well, and says so
            return link_from_profile(stored, secret), secret is not None

        def show(found: tuple[str, bool]) -> None:
            link, has_key = found
            dialog = ShareDialog(name, link, has_key=has_key, parent=self._window)
            dialog.finished.connect(dialog.deleteLater)
            dialog.open()

        self._background.run(work, show, self._fail)

    def _delete(self, name: str) -> None:
        question = QMessageBox(
            QMessageBox.Icon.Question,
            self.tr("Delete a server"),
            self.tr(
                "Delete {0} and its key? Nobody but the server's owner can give it back."
            ).format(name),
            QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.Cancel,
            self._window,
        )
        question.setDefaultButton(QMessageBox.StandardButton.Cancel)

        def on_answer(answer: int) -> None:
            question.deleteLater()
            if answer == QMessageBox.StandardButton.Yes:
                self._background.run(
                    lambda: self._forget(name), lambda _: self.read_names(), self._fail
                )

        question.finished.connect(on_answer)
        question.open()

    def _forget(self, name: str) -> None:
        self._profiles.remove(name)
        self._secrets.forget(name)

    def _checks(self, profile: Profile) -> str:
        if profile.pins:
            return self.tr("the key in the link")
        if profile.insecure:
            return self.tr("nothing: anybody could pretend to be this server")
        if profile.ca_certificates:
            return self.tr("the certificates in the file")
        return self.tr("the certificate authorities of this machine")

    def _fail(self, error: UserError) -> None:
        self.failed.emit(error.problem, error.advice)


def _is_open(dialog: QDialog) -> bool:
    """Tell whether the user still has it before him: work in a thread may end after that."""
    return isValid(dialog) and dialog.isVisible()
