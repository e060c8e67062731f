#include "server/matching/attributes.h"

namespace keles::matching {

std::string_view operation_name(admission::Operation operation) {
  switch (operation) {
    case admission::Operation::kCreate:
      return "CREATE";
    case admission::Operation::kUpdate:
      return "UPDATE";
    case admission::Operation::kDelete:
      return "DELETE";
    case admission::Operation::kConnect:
      return "CONNECT";
  }
  return "";
}

Request outline(const admission::Attributes& a) {
  Request r;
  r.operation = operation_name(a.operation);
  r.resource = a.served ? a.served : a.kind;
  r.subresource = a.subresource;
  r.namespace_ = a.is("", "Namespace") ? a.name : a.namespace_;
  r.name = a.name;
  r.dry_run = a.dry_run;
  r.state = a.state;
  return r;
}

FullRequest::FullRequest(const admission::Attributes& a, const Value* object,
                         const Value* old_object)
    : request_(outline(a)) {
  caller_.name = a.user;
  caller_.uid = a.uid;
  if (a.groups) caller_.groups = *a.groups;
  if (a.extra) caller_.extra = *a.extra;
  if (a.options && *a.options) options_ = (*a.options)();
  request_.caller = &caller_;
  request_.options = options_.root.is_null() ? nullptr : &options_.root;
  request_.object = object;
  request_.old_object = old_object;
}

}  // namespace keles::matching
