// PathsClient: the API by its paths, in JSON, for kinds that no description here knows: what
// extension API servers serve, found by discovery. One loop's thread.
#pragma once

#include <string>

#include "base/context.h"
#include "base/status.h"
#include "base/task.h"
#include "net/http.h"

namespace keles {

class PathsClient {
 public:
  virtual ~PathsClient() = default;
  // An answer of any status; an error when there was none.
  virtual Task<Result<net::Response>> ask(Context ctx, std::string method, std::string path,
                                          std::string query = {}) = 0;
};

}  // namespace keles
