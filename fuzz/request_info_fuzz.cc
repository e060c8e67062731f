// Paths, queries, Accept fields and continue tokens, as any client may send them.
#include <cstdint>
#include <string>
#include <string_view>

#include "seeds.h"
#include "server/http/negotiate.h"
#include "server/http/request_info.h"
#include "server/registry/tokens.h"

using namespace keles;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t cut = text.find('?');
  server::Query query =
      server::Query::parse(cut == std::string_view::npos ? text : text.substr(cut + 1));
  for (const char* method : {"GET", "POST", "DELETE"}) {
    server::RequestInfo info = server::parse_request_info(method, text.substr(0, cut), query);
    if (info.is_resource && info.path.size() > size) __builtin_trap();
    // What a proxy sends on is the end of what came, byte for byte.
    if (!info.rest.empty() && !text.substr(0, cut).ends_with(info.rest.substr(1))) __builtin_trap();
  }
  // What is encoded reads back the same.
  if (server::Query::parse(query.encode()).all() != query.all()) __builtin_trap();
  auto accepted = server::negotiate(text);
  (void)accepted;
  auto token = registry::decode_continue(text);
  if (token.ok()) {
    auto again =
        registry::decode_continue(registry::encode_continue(token->revision, token->start));
    if (!again.ok() || again->start != token->start) __builtin_trap();
  }
  return 0;
}

std::vector<std::string_view> fuzz_seeds() {
  return {"/api/v1/namespaces/default/pods/p/exec?command=ls&stdin=true",
          "/apis/apps/v1/watch/namespaces/x/deployments?labelSelector=a%3Db,c+in(d)",
          "/api/v1/nodes/n:10250/proxy/a//b/?x=%41",
          "application/json;as=Table;v=v1;g=meta.k8s.io,application/vnd.kubernetes.protobuf",
          "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTAsInN0YXJ0IjoiZGVmYXVsdC9hXHUwMDAwIn0"};
}
