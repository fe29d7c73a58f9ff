/** What the units start. */
export interface UnitOptions {
  /** Node and the program, both with full paths. */
  readonly command: readonly string[]
}

/** A file of systemd, by its name. */
export interface Unit {
  readonly name: string
  readonly content: string
}

/**
 * The user units of the daemon. The socket is systemd's, at the place where commands look for it anyway, so the first
 * command starts the service; %t is $XDG_RUNTIME_DIR. man: systemd.socket(5), systemd.service(5).
 */
export function systemdUnits({ command }: UnitOptions): Unit[] {
  return [
    { name: 'swiftd.socket', content: SOCKET },
    { name: 'swiftd.service', content: service(command) },
  ]
}

const SOCKET = `[Unit]
Description=Socket of swiftd

[Socket]
ListenStream=%t/swiftd/daemon.sock
SocketMode=0600
DirectoryMode=0700
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
`

function service(command: readonly string[]): string {
  return `[Unit]
Description=swiftd, Stable Diffusion on local devices
Requires=swiftd.socket
After=swiftd.socket

[Service]
Type=notify
ExecStart=${[...command, 'serve'].map(quote).join(' ')}
Restart=on-failure
# 75: another daemon runs already.
RestartPreventExitStatus=75
SuccessExitStatus=75
# The daemon ends its workers itself, after its jobs.
KillMode=mixed
TimeoutStopSec=30

[Install]
WantedBy=default.target
`
}

/** As systemd.service(5) wants words with unusual characters: % begins a specifier, $ a variable. */
function quote(word: string): string {
  const escaped = word.replaceAll('%', '%%').replaceAll('$', '$$$$')
  return /^[\w@%+=:,./$-]+$/.test(escaped) ? escaped : `"${escaped.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
}
