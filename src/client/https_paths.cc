#include "client/https_paths.h"

namespace keles {

Task<Result<net::Response>> HttpsPaths::ask(Context ctx, std::string method, std::string path,
                                            std::string query) {
  net::Headers headers;
  const bool discovery = path == "/apis" || path == "/api";
  headers.add("Accept", discovery ? "application/json;g=apidiscovery.k8s.io;v=v2;"
                                    "as=APIGroupDiscoveryList"
                                  : "application/json");
  Context limited = ctx.with_timeout(30s);
  co_return co_await client_.raw(limited, std::move(method), std::move(path), std::move(query),
                                 std::move(headers), "");
}

}  // namespace keles
