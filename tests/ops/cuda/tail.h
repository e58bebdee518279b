
void processor::enter() {
  sweep(*call);
  now->done = true;
  waits = 0;
  hand_on();
}
