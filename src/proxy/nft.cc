#include "proxy/nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <string.h>

#include <chrono>

#include "base/file.h"
#include "net/host/nftables.h"

namespace keles::proxy {
namespace {

struct Sweep {
  const std::vector<StaleFlow>* flows;
  std::vector<nf_conntrack*> found;
};

int collect(nf_conntrack_msg_type, nf_conntrack* ct, void* data) {
  auto* sweep = static_cast<Sweep*>(data);
  if (nfct_get_attr_u8(ct, ATTR_L4PROTO) != IPPROTO_UDP) return NFCT_CB_CONTINUE;
  uint32_t destination = nfct_get_attr_u32(ct, ATTR_ORIG_IPV4_DST);
  uint16_t port = ntohs(nfct_get_attr_u16(ct, ATTR_ORIG_PORT_DST));
  uint32_t answers = nfct_get_attr_u32(ct, ATTR_REPL_IPV4_SRC);
  for (const StaleFlow& f : *sweep->flows) {
    if (f.destination && htonl(f.destination->v4_value()) != destination) continue;
    if (f.port != 0 && f.port != port) continue;
    if (f.endpoint && htonl(f.endpoint->v4_value()) != answers) continue;
    sweep->found.push_back(nfct_clone(ct));
    break;
  }
  return NFCT_CB_CONTINUE;
}

Status set_timeout(const std::string& name, Duration wanted) {
  if (wanted <= Duration::zero()) return Status();
  const std::string path = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_" + name;
  const std::string text =
      std::to_string(std::chrono::duration_cast<std::chrono::seconds>(wanted).count());
  TRY_ASSIGN(now, read_file(path));
  while (!now.empty() && now.back() == '\n') now.pop_back();
  return now == text ? Status() : write_in_place(path, text);
}

class NetfilterKernel final : public Kernel {
 public:
  Status apply(const std::string& text) override { return apply_nftables(text); }

  Status set_timeouts(const ConntrackTimeouts& timeouts) override {
    Status first = set_timeout("established", timeouts.established);
    Status second = set_timeout("close_wait", timeouts.close_wait);
    return first.ok() ? second : first;
  }

  Result<int> forget(const std::vector<StaleFlow>& flows) override {
    nfct_handle* h = nfct_open(CONNTRACK, 0);
    if (!h) return Status::internal(std::string("conntrack: ") + strerror(errno));
    Sweep sweep{&flows, {}};
    nfct_callback_register(h, NFCT_T_ALL, collect, &sweep);
    uint32_t family = AF_INET;
    int r = nfct_query(h, NFCT_Q_DUMP, &family);
    int error = errno;
    nfct_close(h);
    int removed = 0;
    if (r == 0) {
      h = nfct_open(CONNTRACK, 0);
      for (nf_conntrack* ct : sweep.found) {
        if (h && nfct_query(h, NFCT_Q_DESTROY, ct) == 0) ++removed;
      }
      if (h) nfct_close(h);
    }
    for (nf_conntrack* ct : sweep.found) nfct_destroy(ct);
    if (r != 0) return Status::internal(std::string("conntrack: ") + strerror(error));
    return removed;
  }
};

}  // namespace

std::unique_ptr<Kernel> make_kernel() { return std::make_unique<NetfilterKernel>(); }

}  // namespace keles::proxy
