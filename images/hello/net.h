// Just enough of DNS, HTTP and UDP for a pod to prove its network with, in a static program
// (glibc's resolver cannot be linked statically). Every call blocks, for at most its timeout.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hello {

struct Answer {
  std::string name, type, data;  // "hello.default.svc.cluster.local", "A", "10.96.0.7"
};

// Asks the name servers of /etc/resolv.conf, following its search list and ndots as the C library
// does. `type` is A, AAAA, SRV, PTR (of an address), CNAME or TXT. Error text in `error`.
std::vector<Answer> resolve(const std::string& name, const std::string& type, std::string* error);

// An IPv4 address for a name, an address, or an entry of /etc/hosts.
std::optional<std::string> address_of(const std::string& host, std::string* error);

struct HttpAnswer {
  int status = 0;  // 0: no answer, see error
  std::string body, error;
};
// http://HOST[:PORT]/PATH only.
HttpAnswer fetch(const std::string& url, int timeout_ms);

// Sends one datagram and waits for one back.
std::optional<std::string> udp_exchange(const std::string& host, uint16_t port,
                                        const std::string& text, int timeout_ms,
                                        std::string* error);

}  // namespace hello
