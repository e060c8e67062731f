// Hosts and paths of an Ingress are what they are parsed as, again, and one line of a map of the
// proxy's; a Secret's certificate is made of whole blocks.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "base/encoding.h"
#include "ingress/haproxy_config.h"
#include "ingress/ingress_plan.h"
#include "machinery/schema.h"
#include "seeds.h"

namespace {

using namespace keles;
using namespace keles::ingress;

void check(bool holds) {
  if (!holds) std::abort();
}

void plan(std::string_view host_text, std::string_view path_text) {
  const auto host = Host::parse(host_text);
  const auto path = Path::parse(path_text);
  if (host) check(Host::parse(host->text()) == host);
  if (path) check(Path::parse(path->text()) == path);
  const auto backend = backend_name(host_text, path_text, 80);
  if (backend)
    check(backend->text() == std::string(host_text) + ":" + std::string(path_text) + ":80");
  if (!host || !path) return;
  RoutingTable table;
  table.prefix[{*host, path->elements()}] = *backend_name("ns", "web", 80);
  table.defaults[*host] = *backend_name("ns", "web", 80);
  ProxyFiles files = write_proxy_files(table, ProxyOptions(), "/place");
  check(files["haproxy.cfg"] == write_proxy_files({}, ProxyOptions(), "/place")["haproxy.cfg"]);
  const std::string& map = files["prefix.map"];
  check(map.find(' ') == map.size() - sizeof " ns:web:80");
  check(map.find('\n') == map.size() - 1 && !map.starts_with('#'));
  for (char c : map) check(c == '\n' || (c >= ' ' && c <= '~'));
}

void read_secret(std::string_view crt, std::string_view key) {
  Draft<api::core_v1::SecretEdit> secret;
  secret->edit_data().set("tls.crt", base64_encode(crt));
  secret->edit_data().set("tls.key", base64_encode(key));
  const Document d = secret.take();
  (void)identity_of(api::core_v1::Secret(d.root));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const size_t at = text.find('\0');
  const std::string_view first = text.substr(0, at);
  const std::string_view second =
      at == std::string_view::npos ? std::string_view() : text.substr(at + 1);
  plan(first, second);
  read_secret(first, second);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  using namespace std::string_view_literals;
  return {
      "shop.example.com\0/a/b%20c"sv, "*.Example.com\0/\n x"sv, "\0/"sv, "a\0b"sv,
      "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n\0-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----"sv};
}
