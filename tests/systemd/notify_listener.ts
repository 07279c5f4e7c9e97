/**
 * Stands in for systemd: takes what services tell it on a socket, and prints each message as a line of
 * JSON. A process of its own, since datagram sockets need a flag of the runtime.
 */
const socket = Deno.listenDatagram({ transport: "unixpacket", path: Deno.args[0] });
console.log(JSON.stringify("listening"));
for await (const [message] of socket) {
  console.log(JSON.stringify(new TextDecoder().decode(message)));
}
