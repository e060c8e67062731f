// What every verb starts from: the flags that all share, the cluster of the current context, and
// requests to it. JSON on the wire: this is a person's tool.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/context.h"
#include "base/flags.h"
#include "client/https_client.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles::kubectl {

struct CommonFlags {
  std::string kubeconfig, context, ns;
  Duration request_timeout{0};
  void add_to(Flags& flags);
};

class Session {
 public:
  static Result<std::unique_ptr<Session>> open(Loop& loop, const CommonFlags& flags);
  const std::string& ns() const { return ns_; }
  const std::string& server() const { return server_; }

  // The answer's tree; the server's Status as an error. `accept` "" means plain JSON.
  Task<Result<Document>> request(Context ctx, std::string method, std::string path,
                                 std::string query, std::string content_type, std::string body,
                                 std::string accept = "");

 private:
  std::string ns_, server_;
  std::unique_ptr<HttpsClient> client_;
};

// "deploy", "deployments", "deployments.apps", "Deployment" -> the kind, or an error as kubectl's.
Result<const KindDesc*> find_resource_type(std::string_view word);
// "deployment.apps/hello"
std::string display_name(const KindDesc& kind, std::string_view name);

struct Input {
  const KindDesc* kind;
  std::string ns, name;
  Document object;
};
// Every object of the files (or "-"); List kinds are taken apart.
Result<std::vector<Input>> read_objects(const std::vector<std::string>& files,
                                        const std::string& default_ns);

}  // namespace keles::kubectl
