import { Celeriac, chord } from 'celeriac'

export const jobs = new Celeriac()

const fetchInvoice = jobs.task('invoices.fetch', { retry: { limit: 5 } }, (shop: string, month: number) => ({
  shop,
  month,
  total: month * 100,
}))

const sum = jobs.task('invoices.sum', (invoices: { total: number }[]) =>
  invoices.reduce((all, { total }) => all + total, 0),
)

/** The invoices of one year, added up. */
export const collect = (shop: string) =>
  chord(
    Array.from({ length: 12 }, (_, month) => fetchInvoice.s(shop, month + 1)),
    sum.s(),
  )
