<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de_DE" sourcelanguage="en">
  <context>
    <name>Attention</name>
    <message>
      <source>Allow that for 5 minutes…</source>
      <translation>Für 5 Minuten erlauben …</translation>
    </message>
    <message>
      <source>Another user of this computer has a tunnel up. Its details are private.</source>
      <translation>Ein anderer Benutzer dieses Rechners hat einen Tunnel. Die Einzelheiten sind vertraulich.</translation>
    </message>
    <message>
      <source>Connect again</source>
      <translation>Erneut verbinden</translation>
    </message>
    <message>
      <source>End now</source>
      <translation>Jetzt beenden</translation>
    </message>
    <message>
      <source>Let traffic out unprotected</source>
      <translation>Daten ungeschützt hinauslassen</translation>
    </message>
    <message>
      <source>Log in to the network</source>
      <translation>Im Netz anmelden</translation>
    </message>
    <message>
      <source>No panel of this desktop shows icons: closing the window ends mqvpn. The tunnel stays up.</source>
      <translation>Keine Leiste dieses Desktops zeigt Symbole: Wer das Fenster schließt, beendet mqvpn. Der Tunnel bleibt.</translation>
    </message>
    <message>
      <source>Open its page</source>
      <translation>Seite öffnen</translation>
    </message>
    <message>
      <source>The helper ended unexpectedly, and the tunnel with it.</source>
      <translation>Der Helfer hat unerwartet geendet, und der Tunnel mit ihm.</translation>
    </message>
    <message>
      <source>The network wants you to log in on a page before anything passes.</source>
      <translation>Das Netz verlangt eine Anmeldung auf einer Seite, bevor es etwas durchlässt.</translation>
    </message>
    <message>
      <source>The server does not answer, and the kill switch blocks everything else. Does the network want you to log in on a page first?</source>
      <translation>Der Server antwortet nicht, und der Notschalter sperrt alles andere. Verlangt das Netz zuerst eine Anmeldung auf einer Seite?</translation>
    </message>
    <message>
      <source>There is no tunnel, and the kill switch lets nothing out.</source>
      <translation>Es gibt keinen Tunnel, und der Notschalter lässt nichts hinaus.</translation>
    </message>
    <message>
      <source>Traffic over {0} is metered: it may cost money.</source>
      <translation>Daten über {0} werden gezählt: Das kann Geld kosten.</translation>
    </message>
    <message>
      <source>Use it as backup only</source>
      <translation>Nur als Reserve benutzen</translation>
    </message>
    <message>
      <source>Which link may pass the kill switch?</source>
      <translation>Welcher Anschluss darf am Notschalter vorbei?</translation>
    </message>
    <message>
      <source>{0} is past the kill switch for another {1}: log in to the network now.</source>
      <translation>{0} darf noch {1} am Notschalter vorbei: Melden Sie sich jetzt im Netz an.</translation>
    </message>
  </context>
  <context>
    <name>ConnectionTest</name>
    <message>
      <source>It works over {0}.</source>
      <translation>Es geht über {0}.</translation>
    </message>
    <message>
      <source>It works.</source>
      <translation>Es geht.</translation>
    </message>
    <message>
      <source>The server does not accept the key.</source>
      <translation>Der Server nimmt den Schlüssel nicht an.</translation>
    </message>
    <message>
      <source>The server does not answer.</source>
      <translation>Der Server antwortet nicht.</translation>
    </message>
    <message>
      <source>The test was stopped.</source>
      <translation>Der Versuch wurde abgebrochen.</translation>
    </message>
    <message>
      <source>The tunnel ended by itself.</source>
      <translation>Der Tunnel hat von selbst geendet.</translation>
    </message>
    <message>
      <source>There is a tunnel up: end it first.</source>
      <translation>Es steht schon ein Tunnel: Beenden Sie ihn zuerst.</translation>
    </message>
  </context>
  <context>
    <name>DiagnosticsDesk</name>
    <message>
      <source>Export the report</source>
      <translation>Bericht exportieren</translation>
    </message>
    <message>
      <source>Restore the network</source>
      <translation>Netzwerk wiederherstellen</translation>
    </message>
    <message>
      <source>The network is as it was before the tunnel.</source>
      <translation>Das Netzwerk ist wieder wie vor dem Tunnel.</translation>
    </message>
    <message>
      <source>This ends the tunnel and switches the kill switch off: traffic goes out unprotected afterwards.</source>
      <translation>Das beendet den Tunnel und schaltet den Notschalter aus: Danach gehen Daten ungeschützt hinaus.</translation>
    </message>
  </context>
  <context>
    <name>EventDesk</name>
    <message>
      <source>Export events</source>
      <translation>Ereignisse exportieren</translation>
    </message>
    <message>
      <source>the helper ended unexpectedly and is started again</source>
      <translation>der Helfer hat unerwartet geendet und wird neu gestartet</translation>
    </message>
  </context>
  <context>
    <name>KeyDesk</name>
    <message>
      <source>No keyring runs on this desktop, so the key is asked for each time. It is never written to a file.</source>
      <translation>Auf diesem Desktop läuft kein Schlüsselbund; darum wird jedes Mal nach dem Schlüssel gefragt. Er kommt nie in eine Datei.</translation>
    </message>
    <message>
      <source>The key could not be read: {0}.</source>
      <translation>Der Schlüssel konnte nicht gelesen werden: {0}.</translation>
    </message>
    <message>
      <source>The server does not accept the key. Is there a newer one?</source>
      <translation>Der Server nimmt den Schlüssel nicht an. Gibt es einen neueren?</translation>
    </message>
    <message>
      <source>There is no key for this server in the keyring.</source>
      <translation>Im Schlüsselbund ist kein Schlüssel für diesen Server.</translation>
    </message>
    <message>
      <source>Your keyring is locked, and the key is in it.</source>
      <translation>Ihr Schlüsselbund ist gesperrt, und der Schlüssel ist darin.</translation>
    </message>
  </context>
  <context>
    <name>Leaving</name>
    <message>
      <source>Quit mqvpn</source>
      <translation>mqvpn beenden</translation>
    </message>
    <message>
      <source>The tunnel can stay up without this window. Leave it up?</source>
      <translation>Der Tunnel kann ohne dieses Fenster bestehen bleiben. Soll er bleiben?</translation>
    </message>
  </context>
  <context>
    <name>Notices</name>
    <message>
      <source>Open mqvpn</source>
      <translation>mqvpn öffnen</translation>
    </message>
    <message>
      <source>The kill switch lets nothing out until the tunnel is up again.</source>
      <translation>Der Notschalter lässt nichts hinaus, bis der Tunnel wieder steht.</translation>
    </message>
  </context>
  <context>
    <name>Problems</name>
    <message>
      <source>Give another key…</source>
      <translation>Anderen Schlüssel angeben …</translation>
    </message>
    <message>
      <source>Open the diagnostics</source>
      <translation>Diagnose öffnen</translation>
    </message>
    <message>
      <source>Open the server's settings…</source>
      <translation>Einstellungen des Servers öffnen …</translation>
    </message>
    <message>
      <source>Try again</source>
      <translation>Erneut versuchen</translation>
    </message>
  </context>
  <context>
    <name>ServersDesk</name>
    <message>
      <source>Delete a server</source>
      <translation>Server löschen</translation>
    </message>
    <message>
      <source>Delete {0} and its key? Nobody but the server's owner can give it back.</source>
      <translation>{0} und den Schlüssel dazu löschen? Nur wer den Server betreibt, kann ihn neu ausstellen.</translation>
    </message>
    <message>
      <source>The server is saved, its key is not: {0}</source>
      <translation>Der Server ist gespeichert, sein Schlüssel nicht: {0}</translation>
    </message>
    <message>
      <source>You will be asked for the key each time.</source>
      <translation>Nach dem Schlüssel wird jedes Mal gefragt.</translation>
    </message>
    <message>
      <source>nothing: anybody could pretend to be this server</source>
      <translation>nichts: Jeder könnte sich als dieser Server ausgeben</translation>
    </message>
    <message>
      <source>the certificate authorities of this machine</source>
      <translation>die Zertifizierungsstellen dieses Rechners</translation>
    </message>
    <message>
      <source>the certificates in the file</source>
      <translation>die Zertifikate in der Datei</translation>
    </message>
    <message>
      <source>the key in the link</source>
      <translation>den Schlüssel im Link</translation>
    </message>
  </context>
  <context>
    <name>SettingsDesk</name>
    <message>
      <source>Show the tunnel in the panel</source>
      <translation>Den Tunnel in der Leiste zeigen</translation>
    </message>
    <message>
      <source>The desktop does not start mqvpn with the session.</source>
      <translation>Die Arbeitsumgebung startet mqvpn nicht mit der Sitzung.</translation>
    </message>
    <message>
      <source>The language changes when mqvpn is started again.</source>
      <translation>Die Sprache ändert sich beim nächsten Start von mqvpn.</translation>
    </message>
    <message>
      <source>The settings hold until mqvpn ends: they could not be written.</source>
      <translation>Die Einstellungen gelten, bis mqvpn endet: Sie konnten nicht gespeichert werden.</translation>
    </message>
  </context>
  <context>
    <name>TunnelControl</name>
    <message>
      <source>The key is used, but could not be kept: {0}</source>
      <translation>Der Schlüssel wird benutzt, konnte aber nicht aufbewahrt werden: {0}</translation>
    </message>
  </context>
  <context>
    <name>add_server</name>
    <message>
      <source>&amp;Name</source>
      <translation>&amp;Name</translation>
    </message>
    <message>
      <source>&amp;Paste</source>
      <translation>Ein&amp;fügen</translation>
    </message>
    <message>
      <source>&amp;Save</source>
      <translation>&amp;Speichern</translation>
    </message>
    <message>
      <source>&amp;Test the connection</source>
      <translation>Verbindung &amp;testen</translation>
    </message>
    <message>
      <source>Add a server</source>
      <translation>Server hinzufügen</translation>
    </message>
    <message>
      <source>C&amp;ancel</source>
      <translation>&amp;Abbrechen</translation>
    </message>
    <message>
      <source>Checked by</source>
      <translation>Geprüft durch</translation>
    </message>
    <message>
      <source>Link of the server</source>
      <translation>Link des Servers</translation>
    </message>
    <message>
      <source>Open a &amp;file or a picture…</source>
      <translation>&amp;Datei oder Bild öffnen …</translation>
    </message>
    <message>
      <source>Open a file or a picture</source>
      <translation>Datei oder Bild öffnen</translation>
    </message>
    <message>
      <source>Save and &amp;connect</source>
      <translation>Speichern und &amp;verbinden</translation>
    </message>
    <message>
      <source>Server</source>
      <translation>Server</translation>
    </message>
    <message>
      <source>There is neither text nor a picture in the clipboard.</source>
      <translation>In der Zwischenablage ist weder Text noch ein Bild.</translation>
    </message>
    <message>
      <source>Trying…</source>
      <translation>Versuche es …</translation>
    </message>
    <message>
      <source>Whoever runs the server gives you a link or a QR code. Paste it, open it as a file, or drop it here.</source>
      <translation>Wer den Server betreibt, gibt Ihnen einen Link oder QR-Code. Fügen Sie ihn ein, öffnen Sie ihn als Datei oder ziehen Sie ihn hierher.</translation>
    </message>
  </context>
  <context>
    <name>banner</name>
    <message>
      <source>Dismiss</source>
      <translation>Schließen</translation>
    </message>
    <message>
      <source>Other messages: {0}</source>
      <translation>Weitere Meldungen: {0}</translation>
    </message>
  </context>
  <context>
    <name>checks</name>
    <message>
      <source>An administrator can allow it.</source>
      <translation>Ein Verwalter des Rechners kann es erlauben.</translation>
    </message>
    <message>
      <source>Another program may have changed the routes: connect again.</source>
      <translation>Vielleicht hat ein anderes Programm die Routen geändert: verbinden Sie neu.</translation>
    </message>
    <message>
      <source>Clock</source>
      <translation>Uhr</translation>
    </message>
    <message>
      <source>Helper</source>
      <translation>Hilfsdienst</translation>
    </message>
    <message>
      <source>Leftovers</source>
      <translation>Überreste</translation>
    </message>
    <message>
      <source>Load the module: sudo modprobe tun</source>
      <translation>Laden Sie das Modul: sudo modprobe tun</translation>
    </message>
    <message>
      <source>Name servers (DNS)</source>
      <translation>Nameserver (DNS)</translation>
    </message>
    <message>
      <source>Permission (polkit)</source>
      <translation>Erlaubnis (polkit)</translation>
    </message>
    <message>
      <source>Restore the network removes it.</source>
      <translation>Netzwerk wiederherstellen entfernt es.</translation>
    </message>
    <message>
      <source>Routes</source>
      <translation>Routen</translation>
    </message>
    <message>
      <source>Server</source>
      <translation>Server</translation>
    </message>
    <message>
      <source>Switch the synchronisation of time on: certificates depend on it.</source>
      <translation>Schalten Sie den Zeitabgleich ein: Zertifikate hängen davon ab.</translation>
    </message>
    <message>
      <source>TUN devices</source>
      <translation>TUN-Geräte</translation>
    </message>
    <message>
      <source>The kill switch needs the package nftables.</source>
      <translation>Der Notschalter braucht das Paket nftables.</translation>
    </message>
    <message>
      <source>Tray icon</source>
      <translation>Symbol in der Leiste</translation>
    </message>
    <message>
      <source>a password is asked for at each connection</source>
      <translation>bei jeder Verbindung wird nach einem Passwort gefragt</translation>
    </message>
    <message>
      <source>answers in {0}</source>
      <translation>antwortet in {0}</translation>
    </message>
    <message>
      <source>as the machine has them</source>
      <translation>wie der Rechner sie hat</translation>
    </message>
    <message>
      <source>installed</source>
      <translation>installiert</translation>
    </message>
    <message>
      <source>it shows a day before this program was made</source>
      <translation>sie zeigt einen Tag, an dem es dieses Programm noch nicht gab</translation>
    </message>
    <message>
      <source>its link or its address is gone</source>
      <translation>Verbindung oder Adresse ist weg</translation>
    </message>
    <message>
      <source>kept right</source>
      <translation>wird richtig gehalten</translation>
    </message>
    <message>
      <source>no panel takes icons</source>
      <translation>keine Leiste nimmt Symbole an</translation>
    </message>
    <message>
      <source>nobody has answered on it yet</source>
      <translation>bisher hat darüber niemand geantwortet</translation>
    </message>
    <message>
      <source>nobody tells whether it is right</source>
      <translation>niemand sagt, ob sie richtig geht</translation>
    </message>
    <message>
      <source>none added yet</source>
      <translation>noch keiner hinzugefügt</translation>
    </message>
    <message>
      <source>not installed</source>
      <translation>nicht installiert</translation>
    </message>
    <message>
      <source>nothing is answered on it any more</source>
      <translation>darüber kommt keine Antwort mehr</translation>
    </message>
    <message>
      <source>nothing is left of earlier tunnels</source>
      <translation>von früheren Tunneln ist nichts übrig</translation>
    </message>
    <message>
      <source>nothing keeps it right</source>
      <translation>nichts hält sie richtig</translation>
    </message>
    <message>
      <source>polkit cannot be asked from here</source>
      <translation>polkit kann von hier aus nicht gefragt werden</translation>
    </message>
    <message>
      <source>shown</source>
      <translation>sichtbar</translation>
    </message>
    <message>
      <source>something is left of the tunnel {0}</source>
      <translation>vom Tunnel {0} ist etwas übrig</translation>
    </message>
    <message>
      <source>the helper does not tell</source>
      <translation>der Hilfsdienst sagt es nicht</translation>
    </message>
    <message>
      <source>the internet is reached beside the tunnel</source>
      <translation>das Internet wird am Tunnel vorbei erreicht</translation>
    </message>
    <message>
      <source>the internet is reached beside the tunnel, as the settings say</source>
      <translation>das Internet wird am Tunnel vorbei erreicht, wie die Einstellungen es sagen</translation>
    </message>
    <message>
      <source>the internet is reached through the tunnel</source>
      <translation>das Internet wird durch den Tunnel erreicht</translation>
    </message>
    <message>
      <source>the kernel has none</source>
      <translation>der Kernel hat keine</translation>
    </message>
    <message>
      <source>the kernel has them</source>
      <translation>der Kernel hat sie</translation>
    </message>
    <message>
      <source>there is no tunnel</source>
      <translation>es gibt keinen Tunnel</translation>
    </message>
    <message>
      <source>this program cannot look</source>
      <translation>dieses Programm kann nicht nachsehen</translation>
    </message>
    <message>
      <source>version {0}</source>
      <translation>Version {0}</translation>
    </message>
    <message>
      <source>you may have a tunnel</source>
      <translation>Sie dürfen einen Tunnel haben</translation>
    </message>
    <message>
      <source>you may not have a tunnel</source>
      <translation>Sie dürfen keinen Tunnel haben</translation>
    </message>
    <message>
      <source>{0}, packets of up to {1} bytes</source>
      <translation>{0}, Pakete bis {1} Byte</translation>
    </message>
  </context>
  <context>
    <name>diagnostics_page</name>
    <message>
      <source>&amp;Check everything</source>
      <translation>Alles &amp;prüfen</translation>
    </message>
    <message>
      <source>&amp;Restore the network…</source>
      <translation>Netzwerk &amp;wiederherstellen …</translation>
    </message>
    <message>
      <source>Checks</source>
      <translation>Prüfungen</translation>
    </message>
    <message>
      <source>Cop&amp;y</source>
      <translation>&amp;Kopieren</translation>
    </message>
    <message>
      <source>Diagnostics</source>
      <translation>Diagnose</translation>
    </message>
    <message>
      <source>E&amp;xport…</source>
      <translation>E&amp;xportieren …</translation>
    </message>
    <message>
      <source>Ends the tunnel and removes every trace of it from this machine</source>
      <translation>Beendet den Tunnel und entfernt jede Spur davon von diesem Rechner</translation>
    </message>
    <message>
      <source>Everything is in order.</source>
      <translation>Alles ist in Ordnung.</translation>
    </message>
    <message>
      <source>Looking…</source>
      <translation>Wird geprüft …</translation>
    </message>
    <message>
      <source>Not in order: {0}</source>
      <translation>Nicht in Ordnung: {0}</translation>
    </message>
    <message>
      <source>Report</source>
      <translation>Bericht</translation>
    </message>
    <message>
      <source>The report holds no keys and no addresses. Read it before you send it.</source>
      <translation>Der Bericht enthält weder Schlüssel noch Adressen. Lesen Sie ihn, bevor Sie ihn verschicken.</translation>
    </message>
    <message>
      <source>in order</source>
      <translation>in Ordnung</translation>
    </message>
    <message>
      <source>not in order</source>
      <translation>nicht in Ordnung</translation>
    </message>
    <message>
      <source>not known</source>
      <translation>unbekannt</translation>
    </message>
  </context>
  <context>
    <name>event_panel</name>
    <message>
      <source>E&amp;xport</source>
      <translation>E&amp;xportieren</translation>
    </message>
    <message>
      <source>Event</source>
      <translation>Ereignis</translation>
    </message>
    <message>
      <source>Events</source>
      <translation>Ereignisse</translation>
    </message>
    <message>
      <source>Kind of events</source>
      <translation>Art der Ereignisse</translation>
    </message>
    <message>
      <source>Search</source>
      <translation>Suchen</translation>
    </message>
    <message>
      <source>Search in events</source>
      <translation>In Ereignissen suchen</translation>
    </message>
    <message>
      <source>Time</source>
      <translation>Zeit</translation>
    </message>
    <message>
      <source>What happened</source>
      <translation>Was geschah</translation>
    </message>
    <message>
      <source>Write the events shown to a file</source>
      <translation>Die gezeigten Ereignisse in eine Datei schreiben</translation>
    </message>
  </context>
  <context>
    <name>events</name>
    <message>
      <source> after {0}</source>
      <translation> nach {0}</translation>
    </message>
    <message>
      <source>, gap {0}</source>
      <translation>, Lücke {0}</translation>
    </message>
    <message>
      <source>All events</source>
      <translation>Alle Ereignisse</translation>
    </message>
    <message>
      <source>Awake</source>
      <translation>Aufgewacht</translation>
    </message>
    <message>
      <source>Connected</source>
      <translation>Verbunden</translation>
    </message>
    <message>
      <source>Connection</source>
      <translation>Verbindung</translation>
    </message>
    <message>
      <source>DNS</source>
      <translation>DNS</translation>
    </message>
    <message>
      <source>Disconnected</source>
      <translation>Getrennt</translation>
    </message>
    <message>
      <source>Failover</source>
      <translation>Umschaltung</translation>
    </message>
    <message>
      <source>Kill switch</source>
      <translation>Notschalter</translation>
    </message>
    <message>
      <source>Link added</source>
      <translation>Anschluss neu</translation>
    </message>
    <message>
      <source>Link removed</source>
      <translation>Anschluss weg</translation>
    </message>
    <message>
      <source>Links</source>
      <translation>Anschlüsse</translation>
    </message>
    <message>
      <source>Lost, traffic went on over {0}</source>
      <translation>Verloren, weiter über {0}</translation>
    </message>
    <message>
      <source>Network login</source>
      <translation>Netzanmeldung</translation>
    </message>
    <message>
      <source>Not accepted</source>
      <translation>Abgelehnt</translation>
    </message>
    <message>
      <source>Note</source>
      <translation>Hinweis</translation>
    </message>
    <message>
      <source>Path lost</source>
      <translation>Pfad verloren</translation>
    </message>
    <message>
      <source>Path moved</source>
      <translation>Pfad umgezogen</translation>
    </message>
    <message>
      <source>Path opened</source>
      <translation>Pfad geöffnet</translation>
    </message>
    <message>
      <source>Path recovered</source>
      <translation>Pfad wieder da</translation>
    </message>
    <message>
      <source>Path works</source>
      <translation>Pfad in Betrieb</translation>
    </message>
    <message>
      <source>Protection</source>
      <translation>Schutz</translation>
    </message>
    <message>
      <source>Reconnecting</source>
      <translation>Verbindet neu</translation>
    </message>
    <message>
      <source>Restarted</source>
      <translation>Neu gestartet</translation>
    </message>
    <message>
      <source>Role changed</source>
      <translation>Rolle geändert</translation>
    </message>
    <message>
      <source>Server changed</source>
      <translation>Server gewechselt</translation>
    </message>
    <message>
      <source>Sleep</source>
      <translation>Ruhezustand</translation>
    </message>
    <message>
      <source>Split tunnelling</source>
      <translation>Tunnel-Ausnahmen</translation>
    </message>
    <message>
      <source>Took over from {0}</source>
      <translation>Hat {0} abgelöst</translation>
    </message>
    <message>
      <source>another path</source>
      <translation>einem anderen Pfad</translation>
    </message>
    <message>
      <source>backup</source>
      <translation>Reserve</translation>
    </message>
    <message>
      <source>connected to {0}</source>
      <translation>verbunden mit {0}</translation>
    </message>
    <message>
      <source>connection lost, trying again</source>
      <translation>Verbindung verloren, neuer Versuch</translation>
    </message>
    <message>
      <source>disconnected</source>
      <translation>getrennt</translation>
    </message>
    <message>
      <source>kill switch: {0}</source>
      <translation>Notschalter: {0}</translation>
    </message>
    <message>
      <source>name resolution: {0}</source>
      <translation>Namensauflösung: {0}</translation>
    </message>
    <message>
      <source>not used</source>
      <translation>unbenutzt</translation>
    </message>
    <message>
      <source>primary</source>
      <translation>Haupt</translation>
    </message>
    <message>
      <source>secondary</source>
      <translation>Zweit</translation>
    </message>
    <message>
      <source>the machine goes to sleep</source>
      <translation>der Rechner schläft ein</translation>
    </message>
    <message>
      <source>the machine is awake, paths are checked</source>
      <translation>der Rechner ist wach, die Pfade werden geprüft</translation>
    </message>
    <message>
      <source>the network process ended and was started again</source>
      <translation>der Netzprozess war beendet und wurde neu gestartet</translation>
    </message>
    <message>
      <source>the server</source>
      <translation>dem Server</translation>
    </message>
    <message>
      <source>the server does not accept the key</source>
      <translation>der Server lehnt den Schlüssel ab</translation>
    </message>
    <message>
      <source>trying {0}</source>
      <translation>{0} wird versucht</translation>
    </message>
    <message>
      <source>{0} appeared</source>
      <translation>{0} ist da</translation>
    </message>
    <message>
      <source>{0} has a new address</source>
      <translation>{0} hat eine neue Adresse</translation>
    </message>
    <message>
      <source>{0} is gone</source>
      <translation>{0} ist weg</translation>
    </message>
    <message>
      <source>{0} is now {1}</source>
      <translation>{0} ist jetzt {1}</translation>
    </message>
    <message>
      <source>{0} lost</source>
      <translation>{0} verloren</translation>
    </message>
    <message>
      <source>{0} lost, continuing on {1}</source>
      <translation>{0} verloren, weiter über {1}</translation>
    </message>
    <message>
      <source>{0} works</source>
      <translation>{0} ist in Betrieb</translation>
    </message>
    <message>
      <source>{0} works again</source>
      <translation>{0} ist wieder in Betrieb</translation>
    </message>
  </context>
  <context>
    <name>first_run</name>
    <message>
      <source>&amp;Copy</source>
      <translation>&amp;Kopieren</translation>
    </message>
    <message>
      <source>Check &amp;again</source>
      <translation>Erneut &amp;prüfen</translation>
    </message>
    <message>
      <source>Command that installs the helper</source>
      <translation>Befehl, der den Hilfsdienst installiert</translation>
    </message>
    <message>
      <source>Copied</source>
      <translation>Kopiert</translation>
    </message>
    <message>
      <source>Copies the command</source>
      <translation>Kopiert den Befehl</translation>
    </message>
    <message>
      <source>One part is missing</source>
      <translation>Ein Teil fehlt</translation>
    </message>
    <message>
      <source>The helper</source>
      <translation>Der Hilfsdienst</translation>
    </message>
    <message>
      <source>The helper is too old</source>
      <translation>Der Hilfsdienst ist zu alt</translation>
    </message>
    <message>
      <source>This window needs a newer helper than {0}. Run this in a terminal:</source>
      <translation>Dieses Fenster braucht einen neueren Hilfsdienst als {0}. Führen Sie dies in einem Terminal aus:</translation>
    </message>
    <message>
      <source>This window only shows and asks. A helper of the system makes the tunnel, and it does not answer. This installs it; run it in a terminal:</source>
      <translation>Dieses Fenster zeigt und fragt nur. Den Tunnel baut ein Hilfsdienst des Systems, und der antwortet nicht. Dies installiert ihn; führen Sie es in einem Terminal aus:</translation>
    </message>
  </context>
  <context>
    <name>graph</name>
    <message>
      <source>1 h</source>
      <translation>1 h</translation>
    </message>
    <message>
      <source>1 min</source>
      <translation>1 min</translation>
    </message>
    <message>
      <source>10 min</source>
      <translation>10 min</translation>
    </message>
    <message>
      <source>Graph of {0}</source>
      <translation>Verlauf: {0}</translation>
    </message>
    <message>
      <source>Loss</source>
      <translation>Verlust</translation>
    </message>
    <message>
      <source>RTT</source>
      <translation>Laufzeit</translation>
    </message>
    <message>
      <source>Throughput</source>
      <translation>Durchsatz</translation>
    </message>
    <message>
      <source>nothing measured yet</source>
      <translation>noch nichts gemessen</translation>
    </message>
    <message>
      <source>now</source>
      <translation>jetzt</translation>
    </message>
    <message>
      <source>{0} ago</source>
      <translation>vor {0}</translation>
    </message>
  </context>
  <context>
    <name>header</name>
    <message>
      <source>&amp;Cancel</source>
      <translation>&amp;Abbrechen</translation>
    </message>
    <message>
      <source>&amp;Connect</source>
      <translation>&amp;Verbinden</translation>
    </message>
    <message>
      <source>&amp;Disconnect</source>
      <translation>Tre&amp;nnen</translation>
    </message>
    <message>
      <source>Asking the server over {0}…</source>
      <translation>Der Server wird über {0} gefragt …</translation>
    </message>
    <message>
      <source>Connecting</source>
      <translation>Verbindet</translation>
    </message>
    <message>
      <source>DNS: {0}</source>
      <translation>DNS: {0}</translation>
    </message>
    <message>
      <source>Kill switch: {0}</source>
      <translation>Notschalter: {0}</translation>
    </message>
    <message>
      <source>Looking for links and the server…</source>
      <translation>Anschlüsse und Server werden gesucht …</translation>
    </message>
    <message>
      <source>Server</source>
      <translation>Server</translation>
    </message>
    <message>
      <source>Stops connecting</source>
      <translation>Bricht das Verbinden ab</translation>
    </message>
    <message>
      <source>The connection is lost. Addresses and routes stay while it is made anew.</source>
      <translation>Die Verbindung ist verloren. Adressen und Routen bleiben, während sie neu aufgebaut wird.</translation>
    </message>
    <message>
      <source>Turns the VPN tunnel off</source>
      <translation>Schaltet den VPN-Tunnel aus</translation>
    </message>
    <message>
      <source>Turns the VPN tunnel on</source>
      <translation>Schaltet den VPN-Tunnel ein</translation>
    </message>
    <message>
      <source>traffic goes outside the tunnel meanwhile</source>
      <translation>bis dahin gehen Daten am Tunnel vorbei</translation>
    </message>
    <message>
      <source>{0} down, {1} up</source>
      <translation>{0} herunter, {1} hinauf</translation>
    </message>
    <message>
      <source>↓ {0}   ↑ {1}</source>
      <translation>↓ {0}   ↑ {1}</translation>
    </message>
  </context>
  <context>
    <name>home_page</name>
    <message>
      <source>Graph</source>
      <translation>Verlauf</translation>
    </message>
    <message>
      <source>Links appear here when the tunnel is on.</source>
      <translation>Anschlüsse erscheinen hier, sobald der Tunnel an ist.</translation>
    </message>
    <message>
      <source>Paths</source>
      <translation>Pfade</translation>
    </message>
  </context>
  <context>
    <name>key_dialog</name>
    <message>
      <source>&amp;Keep it in the keyring</source>
      <translation>Im Schlüsselbund auf&amp;bewahren</translation>
    </message>
    <message>
      <source>&amp;Unlock the keyring</source>
      <translation>Schlüsselbund &amp;entsperren</translation>
    </message>
    <message>
      <source>It is used for this connection and kept nowhere.</source>
      <translation>Er wird für diese Verbindung benutzt und nirgends aufbewahrt.</translation>
    </message>
    <message>
      <source>Key</source>
      <translation>Schlüssel</translation>
    </message>
    <message>
      <source>Key for {0}</source>
      <translation>Schlüssel für {0}</translation>
    </message>
    <message>
      <source>Or type the key for this time:</source>
      <translation>Oder geben Sie ihn für dieses Mal ein:</translation>
    </message>
    <message>
      <source>The key from the server's link</source>
      <translation>Der Schlüssel aus dem Link des Servers</translation>
    </message>
  </context>
  <context>
    <name>main_window</name>
    <message>
      <source>Shows another page of the window</source>
      <translation>Zeigt eine andere Seite des Fensters</translation>
    </message>
  </context>
  <context>
    <name>messages</name>
    <message>
      <source>a key has 1 to {0} visible ASCII characters without blanks</source>
      <translation>ein Schlüssel hat 1 bis {0} sichtbare ASCII-Zeichen ohne Leerzeichen</translation>
    </message>
    <message>
      <source>a key stands in the JSON twice</source>
      <translation>ein Name steht zweimal im JSON</translation>
    </message>
    <message>
      <source>a pin is sha256/ and the Base64 of 32 bytes</source>
      <translation>ein Pin ist sha256/ und das Base64 von 32 Bytes</translation>
    </message>
    <message>
      <source>a profile has at most {0} bytes</source>
      <translation>die Einstellungen eines Servers haben höchstens {0} Bytes</translation>
    </message>
    <message>
      <source>ask whoever runs the server for a link</source>
      <translation>bitten Sie den Betreiber des Servers um einen Link</translation>
    </message>
    <message>
      <source>ask whoever runs the server for a link with a pin</source>
      <translation>bitten Sie den Betreiber des Servers um einen Link mit einem Pin</translation>
    </message>
    <message>
      <source>auth_key is not a key, but perhaps the hash that a server keeps</source>
      <translation>auth_key ist kein Schlüssel, sondern vielleicht der Hash, den ein Server aufbewahrt</translation>
    </message>
    <message>
      <source>behind {0}: two slashes and a server have to follow</source>
      <translation>hinter {0}: müssen zwei Schrägstriche und ein Server folgen</translation>
    </message>
    <message>
      <source>ca_file holds no certificate in PEM form</source>
      <translation>ca_file enthält kein Zertifikat in PEM-Form</translation>
    </message>
    <message>
      <source>ca_file is not the name of a file</source>
      <translation>ca_file ist nicht der Name einer Datei</translation>
    </message>
    <message>
      <source>cannot be {0}</source>
      <translation>kann nicht {0} sein</translation>
    </message>
    <message>
      <source>choose another name</source>
      <translation>wählen Sie einen anderen Namen</translation>
    </message>
    <message>
      <source>copy it whole</source>
      <translation>kopieren Sie ihn ganz</translation>
    </message>
    <message>
      <source>copy it whole, as the server printed it</source>
      <translation>kopieren Sie ihn ganz, wie der Server ihn ausgegeben hat</translation>
    </message>
    <message>
      <source>cut the picture down to the code</source>
      <translation>schneiden Sie das Bild auf den Code zu</translation>
    </message>
    <message>
      <source>expected a JSON object</source>
      <translation>erwartet wird ein JSON-Objekt</translation>
    </message>
    <message>
      <source>give its file to the other device instead</source>
      <translation>geben Sie dem anderen Gerät stattdessen seine Datei</translation>
    </message>
    <message>
      <source>has a port that is not from 1 to 65535</source>
      <translation>hat einen Port, der nicht zwischen 1 und 65535 liegt</translation>
    </message>
    <message>
      <source>has an impossible IP address</source>
      <translation>hat eine unmögliche IP-Adresse</translation>
    </message>
    <message>
      <source>has more than {0} elements</source>
      <translation>hat mehr als {0} Teile</translation>
    </message>
    <message>
      <source>has the name {0}, which cannot be one</source>
      <translation>hat den Namen {0}, der keiner sein kann</translation>
    </message>
    <message>
      <source>has {0}, which is no IP address</source>
      <translation>hat {0}, was keine IP-Adresse ist</translation>
    </message>
    <message>
      <source>has {0}, which is no IP network</source>
      <translation>hat {0}, was kein IP-Netz ist</translation>
    </message>
    <message>
      <source>import the file in place of its text</source>
      <translation>öffnen Sie die Datei statt ihres Textes</translation>
    </message>
    <message>
      <source>in front of @ stands the user's name alone; the key comes behind #</source>
      <translation>vor @ steht nur der Name des Benutzers; der Schlüssel kommt hinter #</translation>
    </message>
    <message>
      <source>is below {0}</source>
      <translation>liegt unter {0}</translation>
    </message>
    <message>
      <source>is longer than {0} characters</source>
      <translation>ist länger als {0} Zeichen</translation>
    </message>
    <message>
      <source>is not HOST, HOST:PORT or [IPV6]:PORT</source>
      <translation>ist nicht RECHNER, RECHNER:PORT oder [IPV6]:PORT</translation>
    </message>
    <message>
      <source>is not a host name or an IP address</source>
      <translation>ist weder Rechnername noch IP-Adresse</translation>
    </message>
    <message>
      <source>is not a whole number from {0} to {1}</source>
      <translation>ist keine ganze Zahl von {0} bis {1}</translation>
    </message>
    <message>
      <source>is not one of: {0}</source>
      <translation>ist keines von: {0}</translation>
    </message>
    <message>
      <source>it has to be the one that the server's owner, or Share on another device, shows</source>
      <translation>es muss der sein, den der Betreiber des Servers oder Teilen auf einem anderen Gerät zeigt</translation>
    </message>
    <message>
      <source>it needs server = HOST:PORT</source>
      <translation>sie braucht server = RECHNER:PORT</translation>
    </message>
    <message>
      <source>line {0} is not a known KEY = VALUE of its section</source>
      <translation>Zeile {0} ist kein bekanntes SCHLÜSSEL = WERT ihres Abschnitts</translation>
    </message>
    <message>
      <source>line {0}: {1} stands there twice</source>
      <translation>Zeile {0}: {1} steht dort zweimal</translation>
    </message>
    <message>
      <source>look for a window that asks for its password; {0}</source>
      <translation>suchen Sie ein Fenster, das nach seinem Passwort fragt; {0}</translation>
    </message>
    <message>
      <source>no link can be made of this profile: {0}</source>
      <translation>daraus lässt sich kein Link machen: {0}</translation>
    </message>
    <message>
      <source>not usable JSON: nested too deep, or an odd number</source>
      <translation>kein brauchbares JSON: zu tief verschachtelt, oder eine seltsame Zahl</translation>
    </message>
    <message>
      <source>not usable TOML: nested too deep, or a number too long</source>
      <translation>kein brauchbares TOML: zu tief verschachtelt, oder eine Zahl zu lang</translation>
    </message>
    <message>
      <source>not valid JSON in line {0}: {1}</source>
      <translation>kein gültiges JSON in Zeile {0}: {1}</translation>
    </message>
    <message>
      <source>not valid TOML: {0}</source>
      <translation>kein gültiges TOML: {0}</translation>
    </message>
    <message>
      <source>only ?, # or the end may follow the server's / in the link</source>
      <translation>auf den / hinter dem Server darf im Link nur ?, # oder das Ende folgen</translation>
    </message>
    <message>
      <source>paste a link that begins with mqvpn://</source>
      <translation>fügen Sie einen Link ein, der mit mqvpn:// beginnt</translation>
    </message>
    <message>
      <source>profile: neither ipv4 nor ipv6 is wanted</source>
      <translation>weder IPv4 noch IPv6 ist gewollt</translation>
    </message>
    <message>
      <source>remove it by hand</source>
      <translation>entfernen Sie ihn von Hand</translation>
    </message>
    <message>
      <source>remove some</source>
      <translation>entfernen Sie einige</translation>
    </message>
    <message>
      <source>start one (GNOME Keyring, KWallet, KeePassXC); {0}</source>
      <translation>starten Sie einen (GNOME Keyring, KWallet, KeePassXC); {0}</translation>
    </message>
    <message>
      <source>take it out; the window asks for it and keeps it in the keyring</source>
      <translation>nehmen Sie ihn heraus; das Fenster fragt danach und bewahrt ihn im Schlüsselbund auf</translation>
    </message>
    <message>
      <source>take it straight on, with a white edge all around</source>
      <translation>nehmen Sie ihn gerade von vorn auf, mit weißem Rand ringsum</translation>
    </message>
    <message>
      <source>that is not possible on this machine</source>
      <translation>das geht auf diesem Rechner nicht</translation>
    </message>
    <message>
      <source>that was too often: wait a little</source>
      <translation>das war zu oft: warten Sie ein wenig</translation>
    </message>
    <message>
      <source>the code in the picture is not a link of mqvpn</source>
      <translation>der Code im Bild ist kein Link von mqvpn</translation>
    </message>
    <message>
      <source>the documents of mqvpn name all keys</source>
      <translation>die Dokumente von mqvpn nennen alle Schlüssel</translation>
    </message>
    <message>
      <source>the file names no server</source>
      <translation>die Datei nennt keinen Server</translation>
    </message>
    <message>
      <source>the helper does not understand the wish</source>
      <translation>der Hilfsdienst versteht den Wunsch nicht</translation>
    </message>
    <message>
      <source>the helper failed</source>
      <translation>der Hilfsdienst ist gescheitert</translation>
    </message>
    <message>
      <source>the key is asked for each time meanwhile</source>
      <translation>bis dahin wird jedes Mal nach dem Schlüssel gefragt</translation>
    </message>
    <message>
      <source>the key is not 1 to 512 visible ASCII characters</source>
      <translation>der Schlüssel besteht nicht aus 1 bis 512 sichtbaren ASCII-Zeichen</translation>
    </message>
    <message>
      <source>the keyring does not give the key up</source>
      <translation>der Schlüsselbund gibt den Schlüssel nicht her</translation>
    </message>
    <message>
      <source>the keyring failed ({0})</source>
      <translation>der Schlüsselbund ist gescheitert ({0})</translation>
    </message>
    <message>
      <source>the keyring gave no answer within {0} seconds</source>
      <translation>der Schlüsselbund hat {0} Sekunden lang nicht geantwortet</translation>
    </message>
    <message>
      <source>the keyring is locked</source>
      <translation>der Schlüsselbund ist gesperrt</translation>
    </message>
    <message>
      <source>the keyring refused</source>
      <translation>der Schlüsselbund hat abgelehnt</translation>
    </message>
    <message>
      <source>the link cannot be used: {0}</source>
      <translation>der Link ist nicht brauchbar: {0}</translation>
    </message>
    <message>
      <source>the link has a part that this version does not know; a newer mqvpn may have made it, or it was changed on the way</source>
      <translation>der Link hat einen Teil, den diese Version nicht kennt; vielleicht hat ihn ein neueres mqvpn gemacht, oder er wurde unterwegs verändert</translation>
    </message>
    <message>
      <source>the link has characters that links cannot have</source>
      <translation>der Link hat Zeichen, die Links nicht haben können</translation>
    </message>
    <message>
      <source>the link is longer than {0} characters</source>
      <translation>der Link ist länger als {0} Zeichen</translation>
    </message>
    <message>
      <source>the link would be longer than {0} characters</source>
      <translation>der Link würde länger als {0} Zeichen</translation>
    </message>
    <message>
      <source>the name is not up to {0} printable characters</source>
      <translation>der Name besteht nicht aus höchstens {0} druckbaren Zeichen</translation>
    </message>
    <message>
      <source>the network process ended by itself</source>
      <translation>der Netzwerkprozess hat von selbst geendet</translation>
    </message>
    <message>
      <source>the port is not from 1 to {0}</source>
      <translation>der Port liegt nicht zwischen 1 und {0}</translation>
    </message>
    <message>
      <source>the profile does not check the server's certificate, and no link can say that</source>
      <translation>das Zertifikat des Servers wird nicht geprüft, und kein Link kann das sagen</translation>
    </message>
    <message>
      <source>the profile trusts certificates of its own, which do not fit into a link</source>
      <translation>es wird eigenen Zertifikaten vertraut, und die passen nicht in einen Link</translation>
    </message>
    <message>
      <source>the report could not be read: {0}</source>
      <translation>der Bericht konnte nicht gelesen werden: {0}</translation>
    </message>
    <message>
      <source>the server does not accept the key</source>
      <translation>der Server nimmt den Schlüssel nicht an</translation>
    </message>
    <message>
      <source>the server does not answer</source>
      <translation>der Server antwortet nicht</translation>
    </message>
    <message>
      <source>the server does not want this tunnel</source>
      <translation>der Server will diesen Tunnel nicht</translation>
    </message>
    <message>
      <source>the server has brackets, but no IPv6 address inside</source>
      <translation>der Server hat Klammern, aber keine IPv6-Adresse darin</translation>
    </message>
    <message>
      <source>the server is not the expected one</source>
      <translation>der Server ist nicht der erwartete</translation>
    </message>
    <message>
      <source>the server's name is not found</source>
      <translation>der Name des Servers wird nicht gefunden</translation>
    </message>
    <message>
      <source>the server's settings are not usable</source>
      <translation>die Einstellungen des Servers sind nicht brauchbar</translation>
    </message>
    <message>
      <source>the system gives no TUN device</source>
      <translation>das System gibt kein TUN-Gerät her</translation>
    </message>
    <message>
      <source>the system refuses a change of the network</source>
      <translation>das System lehnt eine Änderung am Netz ab</translation>
    </message>
    <message>
      <source>the template is not a path of visible ASCII characters</source>
      <translation>die Vorlage ist kein Pfad aus sichtbaren ASCII-Zeichen</translation>
    </message>
    <message>
      <source>the text names the file {0}</source>
      <translation>der Text nennt die Datei {0}</translation>
    </message>
    <message>
      <source>the user name has characters that it cannot have</source>
      <translation>der Name des Benutzers hat Zeichen, die er nicht haben kann</translation>
    </message>
    <message>
      <source>there are more than {0} pins</source>
      <translation>es sind mehr als {0} Pins</translation>
    </message>
    <message>
      <source>there are none yet: add one</source>
      <translation>es gibt noch keine: fügen Sie einen hinzu</translation>
    </message>
    <message>
      <source>there are {0} servers already</source>
      <translation>es gibt schon {0} Server</translation>
    </message>
    <message>
      <source>there is a server called {0} already</source>
      <translation>es gibt schon einen Server namens {0}</translation>
    </message>
    <message>
      <source>there is a tunnel already, or it is being taken down</source>
      <translation>es gibt schon einen Tunnel, oder er wird gerade abgebaut</translation>
    </message>
    <message>
      <source>there is no QR code in the picture</source>
      <translation>im Bild ist kein QR-Code</translation>
    </message>
    <message>
      <source>there is no keyring on this desktop, and keys are not kept in plain text</source>
      <translation>auf dieser Arbeitsumgebung gibt es keinen Schlüsselbund, und Schlüssel werden nicht im Klartext aufbewahrt</translation>
    </message>
    <message>
      <source>there is no link</source>
      <translation>da ist kein Link</translation>
    </message>
    <message>
      <source>there is no picture</source>
      <translation>da ist kein Bild</translation>
    </message>
    <message>
      <source>there is no server called {0}</source>
      <translation>es gibt keinen Server namens {0}</translation>
    </message>
    <message>
      <source>there is no tunnel</source>
      <translation>es gibt keinen Tunnel</translation>
    </message>
    <message>
      <source>there is nothing to read</source>
      <translation>da ist nichts zu lesen</translation>
    </message>
    <message>
      <source>this is not a link that begins with {0}</source>
      <translation>das ist kein Link, der mit {0} beginnt</translation>
    </message>
    <message>
      <source>this is the configuration of a server</source>
      <translation>das ist die Konfiguration eines Servers</translation>
    </message>
    <message>
      <source>unknown key {0}</source>
      <translation>unbekannter Schlüssel {0}</translation>
    </message>
    <message>
      <source>unlock it: logging in does that; {0}</source>
      <translation>entsperren Sie ihn: das Anmelden tut das; {0}</translation>
    </message>
    <message>
      <source>use 1 to {0} letters, digits and . _ - beginning with a letter or digit</source>
      <translation>nehmen Sie 1 bis {0} Buchstaben, Ziffern und . _ -, am Anfang einen Buchstaben oder eine Ziffer</translation>
    </message>
    <message>
      <source>write 500 MB, 5 GB or 1 GiB</source>
      <translation>schreiben Sie 500 MB, 5 GB oder 1 GiB</translation>
    </message>
    <message>
      <source>write 500 kbit/s or 10 Mbit/s</source>
      <translation>schreiben Sie 500 kbit/s oder 10 Mbit/s</translation>
    </message>
    <message>
      <source>you may not do that</source>
      <translation>Sie dürfen das nicht</translation>
    </message>
    <message>
      <source>{0} cannot be changed: {1}</source>
      <translation>{0} kann nicht geändert werden: {1}</translation>
    </message>
    <message>
      <source>{0} cannot be read: {1}</source>
      <translation>{0} kann nicht gelesen werden: {1}</translation>
    </message>
    <message>
      <source>{0} cannot be the name of a server</source>
      <translation>{0} kann nicht der Name eines Servers sein</translation>
    </message>
    <message>
      <source>{0} could not be written: {1}</source>
      <translation>{0} konnte nicht geschrieben werden: {1}</translation>
    </message>
    <message>
      <source>{0} has a % that two hexadecimal digits have to follow</source>
      <translation>{0} hat ein %, auf das zwei hexadezimale Ziffern folgen müssen</translation>
    </message>
    <message>
      <source>{0} is decided by the helper; left out</source>
      <translation>{0} bestimmt der Hilfsdienst; weggelassen</translation>
    </message>
    <message>
      <source>{0} is for servers; left out</source>
      <translation>{0} ist für Server; weggelassen</translation>
    </message>
    <message>
      <source>{0} is neither true nor false</source>
      <translation>{0} ist weder wahr noch falsch</translation>
    </message>
    <message>
      <source>{0} is no text</source>
      <translation>{0} ist kein Text</translation>
    </message>
    <message>
      <source>{0} is not UTF-8</source>
      <translation>{0} ist kein UTF-8</translation>
    </message>
    <message>
      <source>{0} is not a host name or an IP address</source>
      <translation>{0} ist weder Rechnername noch IP-Adresse</translation>
    </message>
    <message>
      <source>{0} is not a number</source>
      <translation>{0} ist keine Zahl</translation>
    </message>
    <message>
      <source>{0} is not a picture: {1}</source>
      <translation>{0} ist kein Bild: {1}</translation>
    </message>
    <message>
      <source>{0} is not a rate</source>
      <translation>{0} ist keine Rate</translation>
    </message>
    <message>
      <source>{0} is not a whole number</source>
      <translation>{0} ist keine ganze Zahl</translation>
    </message>
    <message>
      <source>{0} is not an amount of data</source>
      <translation>{0} ist keine Datenmenge</translation>
    </message>
    <message>
      <source>{0} is too large</source>
      <translation>{0} ist zu groß</translation>
    </message>
    <message>
      <source>{0} must not stand in a profile</source>
      <translation>{0} darf nicht in den Einstellungen eines Servers stehen</translation>
    </message>
    <message>
      <source>{0} stands in the link twice</source>
      <translation>{0} steht zweimal im Link</translation>
    </message>
    <message>
      <source>{0}: is not a regular file</source>
      <translation>{0}: ist keine gewöhnliche Datei</translation>
    </message>
    <message>
      <source>{0}: is not a text in UTF-8</source>
      <translation>{0}: ist kein Text in UTF-8</translation>
    </message>
    <message>
      <source>{0}: larger than {1} bytes</source>
      <translation>{0}: größer als {1} Bytes</translation>
    </message>
  </context>
  <context>
    <name>path_card</name>
    <message>
      <source>, metered</source>
      <translation>, kostenpflichtig</translation>
    </message>
    <message>
      <source>RTT {0}</source>
      <translation>Laufzeit {0}</translation>
    </message>
    <message>
      <source>its link or its address is gone</source>
      <translation>Verbindung oder Adresse ist weg</translation>
    </message>
    <message>
      <source>jitter {0}</source>
      <translation>Schwankung {0}</translation>
    </message>
    <message>
      <source>loss {0}</source>
      <translation>Verlust {0}</translation>
    </message>
    <message>
      <source>no numbers yet</source>
      <translation>noch keine Werte</translation>
    </message>
    <message>
      <source>{0} of the traffic</source>
      <translation>{0} der Daten</translation>
    </message>
    <message>
      <source>{0} of {1} this month</source>
      <translation>{0} von {1} in diesem Monat</translation>
    </message>
    <message>
      <source>{0} this month</source>
      <translation>{0} in diesem Monat</translation>
    </message>
  </context>
  <context>
    <name>profile_editor</name>
    <message>
      <source>&amp;Address</source>
      <translation>&amp;Adresse</translation>
    </message>
    <message>
      <source>&amp;Beside the tunnel</source>
      <translation>&amp;Am Tunnel vorbei</translation>
    </message>
    <message>
      <source>&amp;Key</source>
      <translation>S&amp;chlüssel</translation>
    </message>
    <message>
      <source>&amp;Kill switch</source>
      <translation>&amp;Notschalter</translation>
    </message>
    <message>
      <source>&amp;Leave out</source>
      <translation>&amp;Auslassen</translation>
    </message>
    <message>
      <source>&amp;Only into the tunnel</source>
      <translation>N&amp;ur in den Tunnel</translation>
    </message>
    <message>
      <source>&amp;Pins</source>
      <translation>&amp;Pins</translation>
    </message>
    <message>
      <source>&amp;Programs beside it</source>
      <translation>&amp;Programme daran vorbei</translation>
    </message>
    <message>
      <source>&amp;Roles</source>
      <translation>&amp;Rollen</translation>
    </message>
    <message>
      <source>&amp;Spreading</source>
      <translation>Verteil&amp;ung</translation>
    </message>
    <message>
      <source>&amp;Use</source>
      <translation>Be&amp;nutzen</translation>
    </message>
    <message>
      <source>Advance&amp;d</source>
      <translation>Er&amp;weitert</translation>
    </message>
    <message>
      <source>Always</source>
      <translation>Immer</translation>
    </message>
    <message>
      <source>Certificate &amp;name</source>
      <translation>&amp;Name im Zertifikat</translation>
    </message>
    <message>
      <source>Connect again after a loss</source>
      <translation>Nach einem Abbruch neu verbinden</translation>
    </message>
    <message>
      <source>Data a &amp;month</source>
      <translation>Daten im &amp;Monat</translation>
    </message>
    <message>
      <source>Devi&amp;ce</source>
      <translation>&amp;Gerät</translation>
    </message>
    <message>
      <source>Everything</source>
      <translation>Alles</translation>
    </message>
    <message>
      <source>Fastest path first</source>
      <translation>Schnellster Pfad zuerst</translation>
    </message>
    <message>
      <source>Highest &amp;speed</source>
      <translation>&amp;Höchstes Tempo</translation>
    </message>
    <message>
      <source>IPv4 inside the tunnel</source>
      <translation>IPv4 im Tunnel</translation>
    </message>
    <message>
      <source>IPv6 inside the tunnel</source>
      <translation>IPv6 im Tunnel</translation>
    </message>
    <message>
      <source>Into the &amp;tunnel</source>
      <translation>In den &amp;Tunnel</translation>
    </message>
    <message>
      <source>Largest &amp;MTU</source>
      <translation>Größte &amp;MTU</translation>
    </message>
    <message>
      <source>Name &amp;servers</source>
      <translation>Name&amp;server</translation>
    </message>
    <message>
      <source>Net&amp;work</source>
      <translation>Net&amp;z</translation>
    </message>
    <message>
      <source>Nothing by itself</source>
      <translation>Nichts von selbst</translation>
    </message>
    <message>
      <source>Off</source>
      <translation>Aus</translation>
    </message>
    <message>
      <source>One path at a time</source>
      <translation>Immer nur ein Pfad</translation>
    </message>
    <message>
      <source>Pat&amp;hs</source>
      <translation>P&amp;fade</translation>
    </message>
    <message>
      <source>Ser&amp;ver</source>
      <translation>Ser&amp;ver</translation>
    </message>
    <message>
      <source>Server {0}</source>
      <translation>Server {0}</translation>
    </message>
    <message>
      <source>Small packets on two paths</source>
      <translation>Kleine Pakete auf zwei Pfaden</translation>
    </message>
    <message>
      <source>That is no number.</source>
      <translation>Das ist keine Zahl.</translation>
    </message>
    <message>
      <source>The local network stays reachable</source>
      <translation>Das lokale Netz bleibt erreichbar</translation>
    </message>
    <message>
      <source>Trust any certificate: anybody could pretend to be the server</source>
      <translation>Jedem Zertifikat trauen: jeder könnte sich als der Server ausgeben</translation>
    </message>
    <message>
      <source>Weighted: each connection on one path</source>
      <translation>Gewichtet: jede Verbindung auf einem Pfad</translation>
    </message>
    <message>
      <source>What the server names</source>
      <translation>Was der Server nennt</translation>
    </message>
    <message>
      <source>While the tunnel is wanted</source>
      <translation>Solange der Tunnel gewünscht ist</translation>
    </message>
    <message>
      <source>as the address</source>
      <translation>wie die Adresse</translation>
    </message>
    <message>
      <source>as the machine has them</source>
      <translation>wie der Rechner sie hat</translation>
    </message>
    <message>
      <source>follows the network</source>
      <translation>folgt dem Netz</translation>
    </message>
    <message>
      <source>unchanged</source>
      <translation>unverändert</translation>
    </message>
  </context>
  <context>
    <name>quantities</name>
    <message>
      <source>{0} %</source>
      <translation>{0} %</translation>
    </message>
    <message>
      <source>{0} Gbit/s</source>
      <translation>{0} Gbit/s</translation>
    </message>
    <message>
      <source>{0} Mbit/s</source>
      <translation>{0} Mbit/s</translation>
    </message>
    <message>
      <source>{0} bit/s</source>
      <translation>{0} bit/s</translation>
    </message>
    <message>
      <source>{0} kbit/s</source>
      <translation>{0} kbit/s</translation>
    </message>
    <message>
      <source>{0} kilobits per second</source>
      <translation>{0} Kilobit pro Sekunde</translation>
    </message>
    <message>
      <source>{0} megabits per second</source>
      <translation>{0} Megabit pro Sekunde</translation>
    </message>
    <message>
      <source>{0} milliseconds</source>
      <translation>{0} Millisekunden</translation>
    </message>
    <message>
      <source>{0} ms</source>
      <translation>{0} ms</translation>
    </message>
    <message>
      <source>{0} percent</source>
      <translation>{0} Prozent</translation>
    </message>
  </context>
  <context>
    <name>role_choice</name>
    <message>
      <source>Role of {0}: {1}</source>
      <translation>Rolle von {0}: {1}</translation>
    </message>
  </context>
  <context>
    <name>servers_page</name>
    <message>
      <source>&amp;Add a server…</source>
      <translation>Server &amp;hinzufügen …</translation>
    </message>
    <message>
      <source>&amp;Connect</source>
      <translation>&amp;Verbinden</translation>
    </message>
    <message>
      <source>&amp;Delete…</source>
      <translation>&amp;Löschen …</translation>
    </message>
    <message>
      <source>&amp;Edit…</source>
      <translation>&amp;Bearbeiten …</translation>
    </message>
    <message>
      <source>Du&amp;plicate</source>
      <translation>Ver&amp;doppeln</translation>
    </message>
    <message>
      <source>S&amp;hare…</source>
      <translation>Te&amp;ilen …</translation>
    </message>
    <message>
      <source>Servers</source>
      <translation>Server</translation>
    </message>
    <message>
      <source>There is no server yet. Add one with the link or QR code you were given.</source>
      <translation>Es gibt noch keinen Server. Fügen Sie einen mit dem Link oder QR-Code hinzu, den Sie bekommen haben.</translation>
    </message>
  </context>
  <context>
    <name>settings_page</name>
    <message>
      <source>&amp;Connect at the start</source>
      <translation>Beim Start &amp;verbinden</translation>
    </message>
    <message>
      <source>&amp;Ethernet</source>
      <translation>Et&amp;hernet</translation>
    </message>
    <message>
      <source>&amp;Kill switch</source>
      <translation>&amp;Notschalter</translation>
    </message>
    <message>
      <source>As the desktop</source>
      <translation>Wie die Arbeitsumgebung</translation>
    </message>
    <message>
      <source>As usual</source>
      <translation>Wie üblich</translation>
    </message>
    <message>
      <source>As usual means: mobile networks are backup, all others primary. A role in the settings of a server goes first. Changes hold from the next connection on.</source>
      <translation>Wie üblich heißt: Mobilfunk ist Reserve, alles andere Haupt. Eine Rolle in den Einstellungen eines Servers geht vor. Änderungen gelten ab der nächsten Verbindung.</translation>
    </message>
    <message>
      <source>Dark</source>
      <translation>Dunkel</translation>
    </message>
    <message>
      <source>General</source>
      <translation>Allgemein</translation>
    </message>
    <message>
      <source>Lang&amp;uage</source>
      <translation>Sp&amp;rache</translation>
    </message>
    <message>
      <source>Light</source>
      <translation>Hell</translation>
    </message>
    <message>
      <source>Links</source>
      <translation>Verbindungswege</translation>
    </message>
    <message>
      <source>Links come &amp;and go</source>
      <translation>Anschlüsse &amp;kommen und gehen</translation>
    </message>
    <message>
      <source>Mobile &amp;networks (LTE, 5G)</source>
      <translation>&amp;Mobilfunk (LTE, 5G)</translation>
    </message>
    <message>
      <source>Notifications</source>
      <translation>Benachrichtigungen</translation>
    </message>
    <message>
      <source>Protection</source>
      <translation>Schutz</translation>
    </message>
    <message>
      <source>Standard blocks traffic outside the tunnel while you want the tunnel. Always blocks it from boot to shutdown.</source>
      <translation>Standard sperrt Daten außerhalb des Tunnels, solange Sie den Tunnel wollen. Immer sperrt sie vom Einschalten bis zum Ausschalten.</translation>
    </message>
    <message>
      <source>Start &amp;hidden, with the tray icon alone</source>
      <translation>&amp;Unsichtbar starten, nur mit Symbol</translation>
    </message>
    <message>
      <source>Start &amp;with the session</source>
      <translation>Mit der Sit&amp;zung starten</translation>
    </message>
    <message>
      <source>The connection is &amp;lost</source>
      <translation>Die Verbindung geht ver&amp;loren</translation>
    </message>
    <message>
      <source>The&amp;me</source>
      <translation>&amp;Darstellung</translation>
    </message>
    <message>
      <source>Traffic is &amp;blocked, the key is refused</source>
      <translation>Daten gesperrt &amp;oder Schlüssel abgelehnt</translation>
    </message>
    <message>
      <source>Traffic moved to another &amp;path</source>
      <translation>Daten gehen über einen anderen &amp;Pfad</translation>
    </message>
    <message>
      <source>Tray icon in &amp;one colour</source>
      <translation>Symbol in einer &amp;Farbe</translation>
    </message>
    <message>
      <source>Wi&amp;Fi</source>
      <translation>&amp;WLAN</translation>
    </message>
  </context>
  <context>
    <name>share_dialog</name>
    <message>
      <source>&amp;Copy the link</source>
      <translation>Link &amp;kopieren</translation>
    </message>
    <message>
      <source>QR code of the link</source>
      <translation>QR-Code des Links</translation>
    </message>
    <message>
      <source>Share {0}</source>
      <translation>{0} teilen</translation>
    </message>
    <message>
      <source>The key is not in this code: the other device asks for it.</source>
      <translation>Der Schlüssel ist nicht in diesem Code: Das andere Gerät fragt danach.</translation>
    </message>
    <message>
      <source>Who has this code can use the server in your name. Show it to nobody else.</source>
      <translation>Wer diesen Code hat, kann den Server in Ihrem Namen benutzen. Zeigen Sie ihn niemandem sonst.</translation>
    </message>
  </context>
  <context>
    <name>states</name>
    <message>
      <source>Active</source>
      <translation>Aktiv</translation>
    </message>
    <message>
      <source>Always</source>
      <translation>Immer</translation>
    </message>
    <message>
      <source>Backup</source>
      <translation>Reserve</translation>
    </message>
    <message>
      <source>Blocked by the kill switch</source>
      <translation>Vom Notschalter gesperrt</translation>
    </message>
    <message>
      <source>Connected</source>
      <translation>Verbunden</translation>
    </message>
    <message>
      <source>Connected, a path is down</source>
      <translation>Verbunden, ein Pfad fehlt</translation>
    </message>
    <message>
      <source>Connecting</source>
      <translation>Verbindet</translation>
    </message>
    <message>
      <source>Error</source>
      <translation>Fehler</translation>
    </message>
    <message>
      <source>Ethernet</source>
      <translation>Ethernet</translation>
    </message>
    <message>
      <source>Helper not running</source>
      <translation>Hilfsdienst läuft nicht</translation>
    </message>
    <message>
      <source>LTE</source>
      <translation>LTE</translation>
    </message>
    <message>
      <source>Link</source>
      <translation>Anschluss</translation>
    </message>
    <message>
      <source>Never</source>
      <translation>Nie</translation>
    </message>
    <message>
      <source>No internet</source>
      <translation>Kein Internet</translation>
    </message>
    <message>
      <source>No link</source>
      <translation>Kein Anschluss</translation>
    </message>
    <message>
      <source>Off</source>
      <translation>Aus</translation>
    </message>
    <message>
      <source>Path {0}: {1}</source>
      <translation>Pfad {0}: {1}</translation>
    </message>
    <message>
      <source>Path {0}: {1}, {2}, {3} loss, {4} down, {5} up, {6} of the traffic</source>
      <translation>Pfad {0}: {1}, {2}, {3} Verlust, {4} herunter, {5} hinauf, {6} der Daten</translation>
    </message>
    <message>
      <source>Primary</source>
      <translation>Haupt</translation>
    </message>
    <message>
      <source>Reconnecting</source>
      <translation>Verbindet neu</translation>
    </message>
    <message>
      <source>Secondary</source>
      <translation>Zweit</translation>
    </message>
    <message>
      <source>Standard</source>
      <translation>Standard</translation>
    </message>
    <message>
      <source>Standby</source>
      <translation>Bereit</translation>
    </message>
    <message>
      <source>WiFi</source>
      <translation>WLAN</translation>
    </message>
    <message>
      <source>mqvpn: connected to {0}, {1} of {2} paths, {3}</source>
      <translation>mqvpn: verbunden mit {0}, {1} von {2} Pfaden, {3}</translation>
    </message>
    <message>
      <source>mqvpn: {0}</source>
      <translation>mqvpn: {0}</translation>
    </message>
  </context>
  <context>
    <name>tray</name>
    <message>
      <source>&amp;Connect</source>
      <translation>&amp;Verbinden</translation>
    </message>
    <message>
      <source>&amp;Disconnect</source>
      <translation>&amp;Trennen</translation>
    </message>
    <message>
      <source>&amp;Kill switch: {0}</source>
      <translation>&amp;Notschalter: {0}</translation>
    </message>
    <message>
      <source>&amp;Open mqvpn</source>
      <translation>mqvpn &amp;öffnen</translation>
    </message>
    <message>
      <source>&amp;Paths</source>
      <translation>&amp;Pfade</translation>
    </message>
    <message>
      <source>&amp;Quit</source>
      <translation>&amp;Beenden</translation>
    </message>
    <message>
      <source>&amp;Server</source>
      <translation>&amp;Server</translation>
    </message>
    <message>
      <source>Dia&amp;gnostics</source>
      <translation>Dia&amp;gnose</translation>
    </message>
  </context>
  <context>
    <name>window_pages</name>
    <message>
      <source>&amp;Servers</source>
      <translation>&amp;Server</translation>
    </message>
    <message>
      <source>&amp;Tunnel</source>
      <translation>&amp;Tunnel</translation>
    </message>
    <message>
      <source>Dia&amp;gnostics</source>
      <translation>Dia&amp;gnose</translation>
    </message>
    <message>
      <source>Sett&amp;ings</source>
      <translation>&amp;Einstellungen</translation>
    </message>
  </context>
</TS>
