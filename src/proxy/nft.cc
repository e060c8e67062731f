#include "proxy/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <string.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "base/file.h"
#include "net/host/nftables.h"

namespace keles::proxy {
namespace {

struct Sweep {
  std::multimap<uint16_t, const UdpFront*> fronts;  // by port
  std::vector<nf_conntrack*> found;
};

std::optional<IpAddress> address_of(nf_conntrack* ct, nf_conntrack_attr v4, nf_conntrack_attr v6) {
  const bool is_v6 = nfct_get_attr_u8(ct, ATTR_L3PROTO) == AF_INET6;
  const void* raw = nfct_get_attr(ct, is_v6 ? v6 : v4);
  if (raw == nullptr) return std::nullopt;
  return IpAddress::from_bytes({static_cast<const uint8_t*>(raw), is_v6 ? 16U : 4U});
}

int collect(nf_conntrack_msg_type, nf_conntrack* ct, void* data) {
  auto* sweep = static_cast<Sweep*>(data);
  if (nfct_get_attr_u8(ct, ATTR_L4PROTO) != IPPROTO_UDP) return NFCT_CB_CONTINUE;
  auto [first, last] = sweep->fronts.equal_range(ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST)));
  if (first == last) return NFCT_CB_CONTINUE;
  auto destination = address_of(ct, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_DST);
  auto answers = address_of(ct, ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV6_SRC);
  if (!destination || !answers) return NFCT_CB_CONTINUE;
  const Target by{*answers, ntohs(nfct_get_attr_u16(ct, ATTR_REPL_PORT_SRC))};
  for (auto it = first; it != last; ++it) {
    const UdpFront& f = *it->second;
    if (f.destination && *f.destination != *destination) continue;
    // A node port leads elsewhere only if it led somewhere: else it is another's port of that
    // number.
    if (!f.destination && by == Target{*destination, f.port}) continue;
    if (std::find(f.targets.begin(), f.targets.end(), by) != f.targets.end()) continue;
    sweep->found.push_back(nfct_clone(ct));
    break;
  }
  return NFCT_CB_CONTINUE;
}

Status set_number(const std::string& name, int64_t wanted) {
  if (wanted <= 0) return Status();
  const std::string path = "/proc/sys/net/netfilter/nf_conntrack_" + name;
  const std::string text = std::to_string(wanted);
  TRY_ASSIGN(now, read_file(path));
  while (!now.empty() && now.back() == '\n') now.pop_back();
  return now == text ? Status() : write_in_place(path, text);
}

int64_t seconds(Duration d) { return std::chrono::duration_cast<std::chrono::seconds>(d).count(); }

class NetfilterKernel final : public Kernel {
 public:
  Status apply(const std::string& text) override { return apply_nftables(text); }

  Status configure(const ConntrackSettings& c) override {
    Status first;
    auto set = [&](const char* name, int64_t value) {
      Status s = set_number(name, value);
      if (first.ok()) first = s;
    };
    set("tcp_timeout_established", seconds(c.tcp_established));
    set("tcp_timeout_close_wait", seconds(c.tcp_close_wait));
    set("udp_timeout", seconds(c.udp));
    set("udp_timeout_stream", seconds(c.udp_stream));
    set("tcp_be_liberal", c.tcp_be_liberal ? 1 : 0);
    set("max", c.max);
    return first;
  }

  Result<int> forget(const std::vector<UdpFront>& fronts) override {
    Sweep sweep;
    for (const UdpFront& f : fronts) sweep.fronts.emplace(f.port, &f);
    Status listed;
    for (uint32_t family : {AF_INET, AF_INET6}) {
      nfct_handle* h = nfct_open(CONNTRACK, 0);
      if (!h) return Status::internal(std::string("conntrack: ") + strerror(errno));
      nfct_callback_register(h, NFCT_T_ALL, collect, &sweep);
      if (nfct_query(h, NFCT_Q_DUMP, &family) != 0 && listed.ok()) {
        listed = Status::internal(std::string("conntrack: ") + strerror(errno));
      }
      nfct_close(h);
    }
    int removed = 0;
    nfct_handle* h = sweep.found.empty() ? nullptr : nfct_open(CONNTRACK, 0);
    for (nf_conntrack* ct : sweep.found) {
      if (h && nfct_query(h, NFCT_Q_DESTROY, ct) == 0) ++removed;
      nfct_destroy(ct);
    }
    if (h) nfct_close(h);
    if (!listed.ok()) return listed;
    return removed;
  }
};

}  // namespace

std::unique_ptr<Kernel> make_kernel() { return std::make_unique<NetfilterKernel>(); }

}  // namespace keles::proxy
