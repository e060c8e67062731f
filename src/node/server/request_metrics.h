// What the kubelet counts of its own requests, under upstream's names (pkg/kubelet/server/metrics).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"

namespace keles::node {

// Counts one request from when it is made to when it goes.
class CountedRequest {
 public:
  // `path` is split and decoded. `read_only`: of the port for reading.
  CountedRequest(Loop& loop, std::string_view method, const std::vector<std::string>& path,
                 bool read_only);
  ~CountedRequest();
  CountedRequest(const CountedRequest&) = delete;
  CountedRequest& operator=(const CountedRequest&) = delete;

 private:
  Loop& loop_;
  TimePoint began_;
  std::vector<std::string> labels_;
};

// An exec, attach or port-forward by websocket.
void count_websocket(std::string_view subresource);

}  // namespace keles::node
