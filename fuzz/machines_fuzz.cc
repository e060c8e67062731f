// Arbitrary text as what a server that nobody knows says of its cluster, and as what somebody types
// to join it: read within bounds or refused, never believed without a signature.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "machinery/codec_json.h"
#include "machines/discovery.h"
#include "net/public_key_pins.h"
#include "seeds.h"

namespace {

void check(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace keles;
  const std::string in(reinterpret_cast<const char*>(data), size);
  const auto token = machines::parse_token("abcdef.0123456789abcdef");
  if (auto doc = parse_json(in); doc.ok())
    check(!machines::signed_kubeconfig(doc->root, *token).ok());
  if (auto ca = machines::pinned_ca(in, {}); ca.ok()) check(net::public_key_pins(*ca).ok());
  check(!machines::pinned_ca(in, {"sha256:" + std::string(64, '0')}).ok());
  if (auto network = machines::parse_network(in); network.ok()) check(!network->services.empty());
  if (auto join = machines::parse_join("https://h:6443", in); join.ok()) {
    check(in.starts_with(join->token.text()));
    for (const std::string& pin : join->pins) check(pin.size() == 71);
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {R"({"kubeconfig":"x","jws-kubeconfig-abcdef":"a..b"})",
          "clusters: [{cluster: {certificate-authority-data: LS0tLS0=}}]",
          "networking: {podSubnet: 10.244.0.0/16, serviceSubnet: 10.96.0.0/16}",
          "abcdef.0123456789abcdef::sha256:"
          "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
}
