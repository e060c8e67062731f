// What a client reads from servers and files takes any bytes: watch streams in both encodings, in
// any pieces, and kubeconfigs.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "api/core_v1.h"
#include "client/https_client.h"
#include "client/kubeconfig.h"
#include "machinery/codec_yaml.h"
#include "seeds.h"

namespace {

// The number of events, and how it ended.
std::pair<int, std::string> decode(std::string_view bytes, bool json, size_t piece) {
  keles::WatchDecoder decoder(&keles::kind_of<keles::api::core_v1::ConfigMap>(), json, 1u << 16);
  int events = 0;
  for (size_t at = 0; at < bytes.size(); at += piece) {
    decoder.feed(bytes.substr(at, piece));
    for (;;) {
      keles::WatchEvent e{};
      auto r = decoder.next(&e);
      if (!r.ok()) return {events, r.status().message()};
      if (!*r) break;
      ++events;
    }
  }
  return {events, ""};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  for (bool json : {false, true}) {
    if (decode(bytes, json, 3).first != decode(bytes, json, size + 1).first) std::abort();
  }
  auto config = keles::parse_yaml(bytes);
  if (config.ok()) {
    // Files that the input names are not to be read: only inline data counts here.
    std::string_view text = bytes;
    bool names_files = text.find("certificate") != std::string_view::npos ||
                       text.find("client-key") != std::string_view::npos;
    if (!names_files) (void)keles::client_config_of(config->root, {});
  }
  keles::ClientConfig c;
  (void)keles::parse_server_url(bytes.substr(0, 200), &c);
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  static constexpr char kFrame[] =
      "\0\0\0\x2a\x0a\x05"
      "ADDED\x12\x21\x0a\x1f"
      "k8s\0\x0a\x0f\x0a\x02v1\x12\x09"
      "ConfigMap\x12\x05\x0a\x03\x0a\x01"
      "a\x1a\0\"\0";
  return {{kFrame, sizeof(kFrame) - 1},
          "{\"type\":\"ADDED\",\"object\":{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\","
          "\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\"}}}\n",
          "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n",
          "apiVersion: v1\nkind: Config\ncurrent-context: a\nclusters:\n- name: a\n  cluster: "
          "{server: 'https://h:1/p'}\ncontexts:\n- name: a\n  context: {cluster: a, user: u}\n"
          "users:\n- name: u\n  user: {token: t}\n",
          "https://[::1]:6443/prefix"};
}
