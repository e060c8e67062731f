// What is asked of one pod or container: its logs, a stream into it, a port of it, a command, a
// checkpoint.
#pragma once

#include <string>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "net/http.h"
#include "node/cri/runtime.h"

namespace keles::node {

class NodeView;

class ContainerRequests {
 public:
  // Both outlive it.
  ContainerRequests(const NodeView* view, cri::Runtime* runtime) : view_(view), runtime_(runtime) {}
  // Whether `path` begins with one of its names.
  static bool serves(const std::vector<std::string>& path);
  Task<void> serve(Context ctx, net::Request* request, net::Responder* responder,
                   std::vector<std::string> path);

 private:
  Task<void> await_first_look(Context ctx, std::string ns, std::string pod);
  Task<void> logs(Context ctx, net::Request* request, net::Responder* responder,
                  std::vector<std::string> path);
  Task<void> stream(Context ctx, net::Request* request, net::Responder* responder,
                    std::vector<std::string> path);
  Task<void> port_forward(Context ctx, net::Request* request, net::Responder* responder,
                          std::vector<std::string> path);
  Task<void> run_command(Context ctx, net::Request* request, net::Responder* responder,
                         std::vector<std::string> path);
  // A container's state to a file of this machine (KEP-2008).
  Task<void> checkpoint(Context ctx, net::Request* request, net::Responder* responder,
                        std::vector<std::string> path);
  const NodeView* view_;
  cri::Runtime* runtime_;
};

}  // namespace keles::node
