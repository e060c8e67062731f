// scale_bench [NODES PODS SERVICES [RATE [SECONDS]]]: one `keles server` with hollow nodes over
// real HTTPS. Each node has an identity and a connection of its own (5,000; Node authorizer and
// NodeRestriction act), registers, watches its Node and its pods, renews its Lease every 10 s and
// writes its status every 5 min, says of each pod that comes that it runs, and lets go of each that
// ends. Users make SERVICES services (10,000) and PODS pods (150,000) that these select; then RATE
// pods a second (100) come and as many go for SECONDS (60), beside lists of a namespace; then
// nothing but the nodes' heartbeats. Printed is what users and nodes waited (the load generator is
// one thread on the same machine: its own lateness is in it), and the server's CPU and memory.
// Whom the server tells to try again later (429) does so after a second, and waits on.
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/file.h"
#include "bench/wire_load.h"
#include "net/pki.h"

namespace keles::bench {
namespace {

constexpr int kUsers = 16, kNamespaces = 50, kOutstanding = 8;
constexpr double kLeasePeriod = 10, kStatusPeriod = 300;

std::string number(long n) { return std::to_string(n); }

WireRequest merge_patch(std::string path, std::string body) {
  WireRequest r = request("PATCH", std::move(path), std::move(body));
  r.content_type = "application/merge-patch+json";
  return r;
}

// What somebody waited, in milliseconds.
class Waits {
 public:
  void add(double seconds) { all_.push_back(1e3 * seconds); }
  void clear() { all_.clear(); }
  size_t count() const { return all_.size(); }
  void print(const std::string& name, const char* goal) {
    if (all_.empty()) return;
    std::sort(all_.begin(), all_.end());
    auto at = [this](double part) {
      return all_[std::min(all_.size() - 1,
                           static_cast<size_t>(part * static_cast<double>(all_.size())))];
    };
    print_figure(name,
                 text("p50 %.1f ms, p99 %.1f ms", at(0.5), at(0.99)) + " of " +
                     number(static_cast<long>(all_.size())),
                 goal);
  }

 private:
  std::vector<double> all_;
};

// The text of a field's first string in a JSON line: {"name":"x"} has "x" for `"name":"`.
std::string_view field(std::string_view line, std::string_view key, size_t from = 0) {
  size_t at = line.find(key, from);
  if (at == std::string_view::npos) return {};
  at += key.size();
  return line.substr(at, line.find('"', at) - at);
}

std::string node_name(long i) { return "hollow-" + number(i); }
std::string node_path(long i) { return "/api/v1/nodes/" + node_name(i); }
std::string space(long pod) { return "scale-" + number(pod % kNamespaces); }
std::string pods_path(long pod) { return "/api/v1/namespaces/" + space(pod) + "/pods"; }
std::string lease_path(long i) {
  return "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases" +
         (i < 0 ? std::string() : "/" + node_name(i));
}

std::string now_text() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  const time_t seconds = us / 1'000'000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char out[100];
  snprintf(out, sizeof out, "%04d-%02d-%02dT%02d:%02d:%02d.%06ldZ", parts.tm_year + 1900,
           parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
           static_cast<long>(us % 1'000'000));
  return out;
}
std::string now_seconds_text() { return now_text().substr(0, 19) + "Z"; }

// As large as a real one's: images are what makes it large, and hollow nodes have five.
std::string node_body(long i) {
  const std::string name = node_name(i);
  const std::string resources = R"({"cpu":"8","memory":"32Gi","pods":"110"})";
  std::string conditions, images;
  for (const char* type : {"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"}) {
    const bool ready = std::string_view(type) == "Ready";
    conditions += std::string(conditions.empty() ? "" : ",") + R"({"type":")" + type +
                  R"(","status":")" + (ready ? "True" : "False") +
                  R"(","reason":"Kubelet","message":"kubelet says so","lastHeartbeatTime":")" +
                  now_seconds_text() + R"(","lastTransitionTime":"2026-01-01T00:00:00Z"})";
  }
  for (int k = 0; k < 5; ++k)
    images += std::string(k ? "," : "") + R"({"names":["example.com/app-)" + number(k) +
              R"(:v1"],"sizeBytes":)" + number(10'000'000 + k) + "}";
  return R"({"metadata":{"name":")" + name + R"(","labels":{"kubernetes.io/hostname":")" + name +
         R"(","topology.kubernetes.io/zone":"zone-)" + number(i % 3) +
         R"("}},"status":{"capacity":)" + resources + R"(,"allocatable":)" + resources +
         R"(,"conditions":[)" + conditions + R"(],"images":[)" + images +
         R"(],"addresses":[{"type":"InternalIP","address":"10.)" + number(i / 65536) + "." +
         number(i / 256 % 256) + "." + number(i % 256) + R"("}]}})";
}

std::string pod_body(long i, long services) {
  return R"({"metadata":{"name":"pod-)" + number(i) + R"(","labels":{"app":"app-)" +
         number(i % services) +
         R"("}},"spec":{"containers":[{"name":"main","image":"example.com/app:v1","ports":)"
         R"([{"containerPort":80}],"resources":{"requests":{"cpu":"10m","memory":"16Mi"}}}]}})";
}

std::string running(std::string_view uid, long pod) {
  const std::string at = now_seconds_text();
  std::string conditions;
  for (const char* type : {"PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"})
    conditions += std::string(conditions.empty() ? "" : ",") + R"({"type":")" + type +
                  R"(","status":"True","lastTransitionTime":")" + at + R"("})";
  const std::string ip =
      "10." + number(128 + pod / 65536) + "." + number(pod / 256 % 256) + "." + number(pod % 256);
  return R"({"metadata":{"uid":")" + std::string(uid) +
         R"("},"status":{"phase":"Running","startTime":")" + at + R"(","podIP":")" + ip +
         R"(","podIPs":[{"ip":")" + ip + R"("}],"conditions":[)" + conditions +
         R"(],"containerStatuses":[{"name":"main","image":"example.com/app:v1","imageID":)"
         R"("example.com/app@sha256:0","containerID":"hollow://)" +
         number(pod) +
         R"(","ready":true,"started":true,"restartCount":0,"state":{"running":)"
         R"({"startedAt":")" +
         at + R"("}}}]}})";
}

struct Scale {
  long nodes = 5'000, pods = 150'000, services = 10'000, rate = 100, seconds = 60;
};

class Cluster {
 public:
  Cluster(const char* program, Scale scale)
      : scale_(scale),
        server_(program,
                {"--cluster-cidr=10.128.0.0/9", "--service-cluster-ip-range=10.64.0.0/12"}),
        users_(server_, kUsers),
        nodes_(server_, identities()),
        leases_due_(now_seconds()),
        statuses_due_(now_seconds()) {}

  void run() {
    join();
    print("nodes are there");
    make_namespaces_and_services();
    print(number(scale_.services) + " services are there");
    fill();
    print(number(scale_.pods) + " pods run");
    churn();
    rest(15);  // what controllers have left to do
    idle();
    print("at the end");
    if (refused_ > 0) printf("  %ld were told to try again later, and did\n", refused_);
    if (failed_ > 0) printf("  %ld failed, first: %s\n", failed_, first_.c_str());
  }

 private:
  std::vector<net::TlsIdentity> identities() const {
    net::TlsIdentity ca;
    ca.certificate_pem = read_file(server_.data_directory() + "/pki/ca.crt").value_or("");
    ca.key_pem = read_file(server_.data_directory() + "/pki/ca.key").value_or("");
    const WallTime now = make_real_loop()->wall_now();
    std::vector<net::TlsIdentity> out;
    for (long i = 0; i < scale_.nodes; ++i) {
      auto made = net::issue_client(ca, "system:node:" + node_name(i), {"system:nodes"}, now);
      if (!made.ok()) {
        fprintf(stderr, "bench: %s\n", made.status().to_string().c_str());
        exit(1);
      }
      out.push_back(std::move(*made));
    }
    return out;
  }

  void print(const std::string& when) {
    print_figure(when, text("%.0f MB resident", server_.resident_mb()), "2,000 MB");
  }

  void heard(const WireAnswer& a) {
    if (a.status >= 300 && failed_++ == 0) first_ = number(a.status) + " " + a.text;
  }

  // Asked by a user, beside at most kOutstanding others on each connection.
  bool may_ask() const { return outstanding_ < kUsers * kOutstanding; }
  void ask(const WireRequest& r, Waits* waits) {
    ++outstanding_;
    next_user_ = (next_user_ + 1) % kUsers;
    const double start = now_seconds();
    users_.ask(next_user_, r, [this, waits, start](const WireAnswer& a) {
      --outstanding_;
      waits->add(now_seconds() - start);
      heard(a);
    });
  }
  // What a node waited counts from when it first asked: who is told to try again later does so.
  void node_asks(long i, const WireRequest& r) {
    ++at_nodes_;
    node_tries(i, r, now_seconds());
  }
  void node_tries(long i, const WireRequest& r, double start) {
    nodes_.ask(static_cast<int>(i), r, [this, i, r, start](const WireAnswer& a) {
      if (a.status == 429) return later([this, i, r, start] { node_tries(i, r, start); });
      --at_nodes_;
      node_writes_.add(now_seconds() - start);
      heard(a);
    });
  }
  void node_watches(long i, const WireRequest& r, std::function<void(std::string_view)> line) {
    nodes_.watch(static_cast<int>(i), r, line,
                 [this, i, r, line] { later([this, i, r, line] { node_watches(i, r, line); }); });
  }
  // As Retry-After says.
  void later(std::function<void()> again) {
    ++refused_;
    later_.emplace_back(now_seconds() + 1, std::move(again));
  }

  // A turn of the loop: what has come, and the heartbeats that are due.
  void turn(int milliseconds = 1) {
    nodes_.poll(0);
    users_.poll(milliseconds);
    while (!later_.empty() && later_.front().first < now_seconds()) {
      auto again = std::move(later_.front().second);
      later_.pop_front();
      again();
    }
    if (!beating_) return;
    const double now = now_seconds(), every = kLeasePeriod / static_cast<double>(scale_.nodes);
    for (; leases_due_ < now; leases_due_ += every) {
      node_asks(lease_, merge_patch(lease_path(lease_),
                                    R"({"spec":{"renewTime":")" + now_text() + R"("}})"));
      lease_ = (lease_ + 1) % scale_.nodes;
    }
    const double seldom = kStatusPeriod / static_cast<double>(scale_.nodes);
    for (; statuses_due_ < now; statuses_due_ += seldom) {
      node_asks(status_, merge_patch(node_path(status_) + "/status", node_body(status_)));
      status_ = (status_ + 1) % scale_.nodes;
    }
  }

  void rest(double seconds) {
    for (const double end = now_seconds() + seconds; now_seconds() < end;) turn();
  }
  // Users, and the nodes, have all their answers.
  void settle() {
    // Heartbeats never end.
    while (outstanding_ > 0 || (!beating_ && (at_nodes_ > 0 || !later_.empty()))) turn();
  }
  void each(long n, const std::function<WireRequest(long)>& of, Waits* waits) {
    for (long i = 0; i < n; turn(0))
      for (; i < n && may_ask(); ++i) ask(of(i), waits);
    settle();
  }

  void join() {
    const double cpu = server_.cpu_seconds(), start = now_seconds();
    for (long i = 0; i < scale_.nodes; ++i) {
      node_asks(i, request("POST", "/api/v1/nodes", node_body(i)));
      if (i % 64 == 0) turn(0);
    }
    settle();
    for (long i = 0; i < scale_.nodes; ++i) {
      const std::string name = node_name(i);
      node_asks(
          i, request("POST", lease_path(-1),
                     R"({"metadata":{"name":")" + name + R"("},"spec":{"holderIdentity":")" + name +
                         R"(","leaseDurationSeconds":40,"renewTime":")" + now_text() + R"("}})"));
      node_asks(i, merge_patch(node_path(i) + "/status", node_body(i)));
      node_watches(i,
                   request("GET", "/api/v1/nodes?watch=true&fieldSelector=metadata.name%3D" + name),
                   [](std::string_view) {});
      node_watches(i,
                   request("GET", "/api/v1/pods?watch=true&fieldSelector=spec.nodeName%3D" + name),
                   [this, i](std::string_view line) { pod_event(i, line); });
      if (i % 64 == 0) turn(0);
    }
    settle();
    beating_ = true;
    leases_due_ = statuses_due_ = now_seconds();
    // The controllers see to the nodes: until there is little left but heartbeats.
    for (double last = server_.cpu_seconds();;) {
      rest(2);
      const double now = server_.cpu_seconds();
      if (now - std::exchange(last, now) < 0.5) break;
    }
    print_figure(number(scale_.nodes) + " nodes join",
                 text("%.1f s, %.2f ms server CPU each", now_seconds() - start,
                      1e3 * (server_.cpu_seconds() - cpu) / static_cast<double>(scale_.nodes)),
                 "-");
    node_writes_.clear();
  }

  void make_namespaces_and_services() {
    Waits none;
    each(
        kNamespaces,
        [](long i) {
          return request("POST", "/api/v1/namespaces",
                         R"({"metadata":{"name":")" + space(i) + R"("}})");
        },
        &none);
    rest(2);  // their service accounts
    Waits waits;
    each(
        scale_.services,
        [](long i) {
          const std::string app = "app-" + number(i);
          return request("POST", "/api/v1/namespaces/" + space(i) + "/services",
                         R"({"metadata":{"name":")" + app + R"("},"spec":{"selector":{"app":")" +
                             app + R"("},"ports":[{"port":80}]}})");
        },
        &waits);
    rest(2);
  }

  WireRequest make_pod(long i) {
    made_[i] = now_seconds();
    return request("POST", pods_path(i), pod_body(i, scale_.services));
  }

  void fill() {
    const double cpu = server_.cpu_seconds(), start = now_seconds();
    Waits waits;
    // No more than that is on its way to a node: who makes them waits as a scheduler's queue would.
    for (long i = 0; i < scale_.pods; turn(0))
      for (; i < scale_.pods && may_ask() && i - seen_ < 5'000; ++i) ask(make_pod(i), &waits);
    while (seen_ < scale_.pods && now_seconds() - start < 900) turn();
    settle();
    const double took = now_seconds() - start, pods = static_cast<double>(scale_.pods);
    print_figure(number(scale_.pods) + " pods made, bound and run",
                 text("%.0f/s, %.2f ms server CPU each", static_cast<double>(seen_) / took,
                      1e3 * (server_.cpu_seconds() - cpu) / pods),
                 "-");
    if (seen_ < scale_.pods) printf("  only %ld were seen by their nodes\n", seen_);
    node_writes_.clear();
    starts_.clear();
    rest(5);
  }

  // RATE pods a second come, and as many go, oldest first; a namespace is listed each second.
  void churn() {
    const double cpu = server_.cpu_seconds(), start = now_seconds();
    const double every = 1.0 / static_cast<double>(scale_.rate);
    Waits writes, gets, lists;
    double due = start, list_due = start;
    long come = scale_.pods, go = 0;
    for (double now = start; now < start + static_cast<double>(scale_.seconds); turn()) {
      now = now_seconds();
      for (; due < now && may_ask(); due += every, ++come, ++go) {
        ask(make_pod(come), &writes);
        ask(request("DELETE", pods_path(go) + "/pod-" + number(go)), &writes);
        ask(request("GET", pods_path(come / 2) + "/pod-" + number(come / 2)), &gets);
      }
      if (list_due > now) continue;
      list_due += 1;
      ask(request("GET", pods_path(static_cast<long>(list_due)) + "?limit=500"), &lists);
      ask(request("GET", "/api/v1/namespaces/" + space(static_cast<long>(list_due)) + "/services"),
          &lists);
    }
    const double used = server_.cpu_seconds() - cpu, took = now_seconds() - start;
    settle();
    rest(2);
    const std::string rate = number(scale_.rate) + " pods/s come and go: ";
    print_figure(rate + "server", text("%.0f %% of a core", 100 * used / took), "-");
    writes.print("  users' creates and deletes", "p99 100 ms");
    node_writes_.print("  nodes' writes", "p99 100 ms");
    gets.print("  gets", "p99 1 s");
    lists.print("  lists of a namespace (500 pods; services)", "p99 1 s");
    starts_.print("  pods: create to seen by its node", "p99 1 s");
  }

  void idle() {
    constexpr double kSeconds = 30;
    node_writes_.clear();
    const double cpu = server_.cpu_seconds(), start = now_seconds(), switches = server_.switches();
    rest(kSeconds);
    const double used = server_.cpu_seconds() - cpu, switched = server_.switches() - switches;
    const double writes = std::max(1.0, static_cast<double>(node_writes_.count()));
    print_figure("heartbeats only", text("%.1f %% of a core", 100 * used / (now_seconds() - start)),
                 "10 %");
    print_figure("  a node's write",
                 text("%.3f ms, %.1f switches of threads", 1e3 * used / writes, switched / writes),
                 "-");
    node_writes_.print("  nodes' writes", "p99 100 ms");
  }

  void pod_event(long node, std::string_view line) {
    const size_t meta = line.find("\"metadata\":{");
    const std::string_view type = field(line, "\"type\":\""),
                           name = field(line, "\"name\":\"", meta);
    if (!name.starts_with("pod-")) return;
    const long pod = atol(std::string(name.substr(4)).c_str());
    const std::string path = pods_path(pod) + "/" + std::string(name);
    auto made = made_.find(pod);
    if (type == "ADDED" && made != made_.end()) {
      starts_.add(now_seconds() - made->second);
      made_.erase(made);
      ++seen_;
      WireRequest r = merge_patch(path + "/status", running(field(line, "\"uid\":\"", meta), pod));
      r.content_type = "application/strategic-merge-patch+json";
      node_asks(node, r);
    } else if (type == "MODIFIED" && line.find("\"deletionTimestamp\":\"") != line.npos &&
               line.find("\"deletionGracePeriodSeconds\":0") == line.npos) {
      node_asks(node, request("DELETE", path + "?gracePeriodSeconds=0"));
    }
  }

  const Scale scale_;
  BenchServer server_;
  WireLoad users_, nodes_;
  bool beating_ = false;
  double leases_due_, statuses_due_;
  long lease_ = 0, status_ = 0;
  int next_user_ = 0, outstanding_ = 0, at_nodes_ = 0;
  std::unordered_map<long, double> made_;  // when, of the pods that no node has seen
  long seen_ = 0, failed_ = 0, refused_ = 0;
  std::deque<std::pair<double, std::function<void()>>> later_;
  Waits node_writes_, starts_;
  std::string first_;
};

}  // namespace
}  // namespace keles::bench

int main(int argc, char** argv) {
  keles::bench::Scale scale;
  long* const values[] = {&scale.nodes, &scale.pods, &scale.services, &scale.rate, &scale.seconds};
  for (int i = 1; i < argc && i <= 5; ++i) {
    if ((*values[i - 1] = atol(argv[i])) > 0) continue;
    fprintf(stderr, "scale_bench: %s: want a number above 0\n", argv[i]);
    return 2;
  }
  keles::bench::Cluster(argv[0], scale).run();
}
