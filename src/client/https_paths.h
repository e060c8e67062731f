// HttpsPaths: a PathsClient over HTTPS, for who is no part of the API server's process.
#pragma once

#include "client/https_client.h"
#include "client/paths_client.h"

namespace keles {

class HttpsPaths final : public PathsClient {
 public:
  // `client` outlives it, and is of its loop.
  explicit HttpsPaths(HttpsClient& client) : client_(client) {}
  // "/apis" answers the aggregated discovery (APIGroupDiscoveryList).
  Task<Result<net::Response>> ask(Context ctx, std::string method, std::string path,
                                  std::string query) override;

 private:
  HttpsClient& client_;
};

}  // namespace keles
