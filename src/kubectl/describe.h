// `describe`: a page for a person. Each kind that has a page of its own is a function from the
// object, and what it asks the cluster for, to lines; every other kind is printed field by field.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kubectl/select.h"
#include "kubectl/tabwriter.h"
#include "machinery/value.h"

namespace keles::kubectl {

// Lines whose cells are parted by tabs; a level is two blanks.
class Description {
 public:
  void line(int level, std::string_view text);
  // Without a line's end.
  void add(std::string_view text) { text_ += text; }
  // What follows has columns of its own.
  void flush();
  std::string take();

  // "Labels:\ta=b" and the rest below it; "<none>". `title` carries its own indent.
  void labels(std::string_view title, const Value& map);
  void annotations(std::string_view title, const Value& map);

 private:
  std::string text_, done_;
};

// Where a page's facts come from.
struct PageContext {
  Session& session;
  const Mapper& mapper;
  // The objects of a type in a namespace ("" = all); none when they cannot be read.
  std::vector<Document> list(std::string_view type, const std::string& ns,
                             const std::string& label_selector,
                             const std::string& field_selector) const;
};

void describe_pod(const PageContext& c, const Value& o, Description& d);
void describe_pod_template(const Value& t, Description& d);
void describe_node(const PageContext& c, const Value& o, Description& d);
void describe_service(const PageContext& c, const Value& o, Description& d);
void describe_deployment(const PageContext& c, const Value& o, Description& d);
void describe_replicaset(const PageContext& c, const Value& o, Description& d);
void describe_statefulset(const PageContext& c, const Value& o, Description& d);
void describe_daemonset(const PageContext& c, const Value& o, Description& d);
void describe_job(const PageContext& c, const Value& o, Description& d);
void describe_cronjob(const PageContext& c, const Value& o, Description& d);
void describe_configmap(const PageContext& c, const Value& o, Description& d);
void describe_secret(const PageContext& c, const Value& o, Description& d);
void describe_namespace(const PageContext& c, const Value& o, Description& d);

// --- words that pages share ---

std::string str(const Value& v);  // the scalar's text; "" when absent
std::string str_or(const Value& v, std::string_view otherwise);
std::string local_time(const Value& time);       // RFC 1123 with the zone's offset
std::string age_of(const Value& time);           // "5m"; "<unknown>"
std::string event_age(const Value& event);       // "5m (x3 over 10m)"
std::string controller_of(const Value& object);  // "ReplicaSet/web-1"; ""
std::string join(const Value& list, std::string_view by);
std::vector<std::string> sorted_keys(const Value& map);

}  // namespace keles::kubectl
