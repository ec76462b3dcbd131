def write_evidence(*a):
  pass
