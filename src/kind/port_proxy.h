// A node's port mappings: connections and datagrams to a port of the host, carried to a port of the
// node.
#pragma once

#include <cstdint>
#include <string>

namespace keles::kind {

// A listening TCP socket in the caller's network namespace, or one of UDP; -1 and errno when it
// cannot be had.
int listen_on(const std::string& address, uint16_t port, bool udp = false);

// Forks a process that accepts (receives) on `listener` (a socket keeps the network namespace that
// it was made in: the host's) and copies to address:port in the current one, the node's. It ends
// with the node.
void start_port_proxy(int listener, const std::string& address, uint16_t port, bool udp);
// Its work for UDP; at most 1,000 senders at once, each forgotten after three minutes of silence.
[[noreturn]] void carry_datagrams(int listener, const std::string& address, uint16_t port);

}  // namespace keles::kind
