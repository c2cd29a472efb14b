/** Name of the daemon's private socket in metadata_dir. */
export const LOCAL_SOCKET = "hangar.sock";

/** Longest path of a unix socket, less room for the terminating NUL and for systems that allow fewer than Linux's 108 bytes. */
const MAX_SOCKET_PATH_BYTES = 100;

/**
 * Where the daemon's private socket is. When the whole path is too long for a socket, `path` is the bare name and `base` the
 * whole path: server and client then go into its directory for the moment of binding or connecting.
 */
export function localSocketPath(metadataDir: string): { readonly path: string; readonly base: string | undefined } {
  const whole = `${metadataDir.replace(/\/+$/, "")}/${LOCAL_SOCKET}`;
  return Buffer.byteLength(whole) <= MAX_SOCKET_PATH_BYTES
    ? { path: whole, base: undefined }
    : { path: LOCAL_SOCKET, base: whole };
}
