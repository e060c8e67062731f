// A cheap load generator of its own make: TLS connections that speak as much HTTP/2 as a benchmark
// needs (frames by hand, one request after the other on each connection), on one thread and one
// epoll. What it costs is not the server's: beside the project's own client, it shows what a
// stranger sees.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bench/bench_server.h"

namespace keles::bench {

struct WireRequest {
  std::string_view method;  // GET, POST, PUT, PATCH, DELETE
  std::string path;         // with the query
  std::string body;
  std::string_view content_type = "application/json", accept = "application/json";
  std::string_view authorization = {};  // "Bearer TOKEN"; "": none
};

struct WireAnswer {
  int status = 0;
  size_t bytes = 0;  // of the body
  std::string text;  // the body's first bytes, for messages
};

WireRequest request(std::string_view method, std::string path, std::string body = "");

class WireConnection;

class WireLoad {
 public:
  // Connects and shakes hands, blocking, with the administrator's certificate or without any. Ends
  // the process with a message on failure.
  WireLoad(const BenchServer& server, int connections, bool as_administrator = true);
  // A connection for each of these identities.
  WireLoad(const BenchServer& server, const std::vector<net::TlsIdentity>& identities);
  ~WireLoad();
  WireLoad(const WireLoad&) = delete;

  // Keeps every connection busy with what `next` gives until it gives nothing (an empty method);
  // `done` hears each answer. Returns when all have been answered.
  void run(const std::function<WireRequest(int connection)>& next,
           const std::function<void(int connection, const WireAnswer&)>& done);
  // Starts a request on a connection whose answer does not end (a watch); its data is counted.
  void start(int connection, const WireRequest& r);
  // Beside the one that run() and start() have under way, a connection carries requests and watches
  // of its own, as many as one likes: `done` hears the answer, `line` each line of an answer that
  // does not end, and `refused` that it was told to try again later (429).
  void ask(int connection, const WireRequest& r, std::function<void(const WireAnswer&)> done);
  void watch(int connection, const WireRequest& r, std::function<void(std::string_view)> line,
             std::function<void()> refused);
  // Takes what has come, after waiting for at most `milliseconds`.
  void poll(int milliseconds);
  // Takes what has come for at most `milliseconds`; how many lines the answers so far hold.
  long lines(int milliseconds);
  size_t size() const { return connections_.size(); }

 private:
  void add(std::unique_ptr<WireConnection> connection);
  int epoll_ = -1;
  std::vector<std::unique_ptr<WireConnection>> connections_;
  const std::function<WireRequest(int)>* next_ = nullptr;
  const std::function<void(int, const WireAnswer&)>* done_ = nullptr;
  int busy_ = 0;
};

// `n` requests, each as `make` says by its number; `each` hears of every answer. Those that failed
// are told.
void run_all(
    WireLoad* load, long n, const std::function<WireRequest(long)>& make,
    const std::function<void()>& each = [] {});

}  // namespace keles::bench
